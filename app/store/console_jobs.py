"""Jobs: requests that a person bought in the console, as its page shows them."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.store.console_keys import console_key_ids
from app.store.engine import Database
from app.store.ledger.columns import IN_PROGRESS, State
from app.store.tables import requests


@dataclass(frozen=True, slots=True)
class Job:
    """Request bought in the console. Times are Unix ms; `prompt` is None unless prompts are kept. `error` is what was told in place
    of pictures. Each field is a column of the table."""

    id: str
    state: State
    project_id: str
    operation: str
    model: str
    asked_model: str | None
    n: int
    size: str | None
    quality: str | None
    prompt: str | None
    quote_micros: int
    cost_micros: int | None
    images: int | None
    link_only: int | None
    error: dict[str, Any] | None
    reserved_at_ms: int
    ended_at_ms: int | None

    @property
    def is_open(self) -> bool:
        return self.state in IN_PROGRESS

    @property
    def message(self) -> str:
        """Message in place of pictures; empty where there is none."""
        return "" if self.error is None else str(self.error["message"])


@dataclass(frozen=True, slots=True)
class ConsoleJobs:
    """Jobs of one person at a time. Raises StoreUnavailable."""

    database: Database

    async def recent(self, user_id: str, since_ms: int, limit: int) -> list[Job]:
        """List the newest jobs of a person that were bought since an instant."""
        return await self._jobs(user_id, limit, requests.c.reserved_at_ms >= since_ms)

    async def find(self, user_id: str, request_id: str) -> Job | None:
        """Return a job of a person; None for any other."""
        found = await self._jobs(user_id, 1, requests.c.id == request_id)
        return found[0] if found else None

    async def _jobs(self, user_id: str, limit: int, where: sa.ColumnElement[bool]) -> list[Job]:
        async with self.database.read() as connection:
            own = requests.c.api_key_id.in_(await console_key_ids(connection, user_id))
            select = _SELECT.where(own, where).order_by(requests.c.reserved_at_ms.desc(), requests.c.id.desc())
            rows = (await connection.execute(select.limit(limit))).mappings()
            return [Job(**row) for row in rows]


_SELECT = sa.select(*(requests.c[name] for name in Job.__slots__))
