"""The log of refusals: rows that the gateway writes in batches and prunes, and that administrators read."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import Database, insert
from app.store.pages import Cursor, Page, read_page
from app.store.requests import RequestConditions
from app.store.tables import projects, refusal_log, users

PRUNE_MAX = 500
KEEP_DAYS = 30


@dataclass(slots=True)
class Refusal:
    """Refusal after authentication, or `count` equal ones of one key. `id` is the x-request-id of the first of them, `model` the
    client's own name of it. Each field is a column of the table."""

    id: str
    at_ms: int
    last_at_ms: int
    count: int
    api_key_id: str
    user_id: str
    project_id: str
    operation: str | None
    model: str | None
    http_status: int
    error_code: str | None
    limit: str | None
    message: str


@dataclass(slots=True)
class RefusalRecord(Refusal):
    """Refusal with the names of its user and its project."""

    user: str
    project: str


@dataclass(frozen=True, slots=True)
class RefusalRows:
    """Table of refusals of one database, for the process that writes it. Raises StoreUnavailable or StorageFull."""

    database: Database

    async def write(self, refusals: Sequence[Refusal]) -> None:
        """Insert refusals. One that was written before gets its new count, so that writing again changes nothing."""
        async with self.database.transaction() as connection:
            statement = insert(connection, refusal_log)
            counted = {name: statement.excluded[name] for name in ("count", "last_at_ms")}
            upsert = statement.on_conflict_do_update(index_elements=["id"], set_=counted)
            await connection.execute(upsert, [asdict(refusal) for refusal in refusals])

    async def prune(self, before_ms: int, rows_max: int) -> int:
        """Delete refusals from before `before_ms`, then the oldest above `rows_max`, in steps; return how many."""
        removed = await self._remove(None, refusal_log.c.at_ms < before_ms)
        [total] = await self.database.column(sa.select(sa.func.count()).select_from(refusal_log))
        return removed + await self._remove(max(0, total - rows_max))

    async def _remove(self, most: int | None, *where: sa.ColumnElement[bool]) -> int:
        """Delete the oldest rows, each step in a transaction of its own, so that requests never wait for long."""
        removed = 0
        while (step := PRUNE_MAX if most is None else min(PRUNE_MAX, most - removed)) > 0:
            oldest = (
                sa.select(refusal_log.c.id).where(*where).order_by(refusal_log.c.at_ms, refusal_log.c.id).limit(step)
            )
            async with self.database.transaction() as connection:
                deleted = await connection.execute(sa.delete(refusal_log).where(refusal_log.c.id.in_(oldest)))
            removed += deleted.rowcount
            if deleted.rowcount < step:
                break
        return removed


async def page_of_refusals(
    connection: AsyncConnection, cursor: Cursor, conditions: RequestConditions
) -> Page[RefusalRecord]:
    """Read a page of refusals by time. Raises InvalidValue for the cursor."""
    columns = refusal_log.c
    select = _SELECT.where(*conditions.where(refusal_log, columns.at_ms, (columns.model,)))
    return await read_page(connection, select, cursor, _record, (columns.at_ms, columns.id))


async def find_refusal(connection: AsyncConnection, request_id: str) -> RefusalRecord | None:
    row = (await connection.execute(_SELECT.where(refusal_log.c.id == request_id))).mappings().one_or_none()
    return None if row is None else _record(row)


async def refusals_by_id(connection: AsyncConnection, ids: Sequence[str]) -> list[RefusalRecord]:
    """Read those of these refusals that there are, in no order."""
    return [_record(row) for row in (await connection.execute(_SELECT.where(refusal_log.c.id.in_(ids)))).mappings()]


_SELECT = (
    sa.select(refusal_log, users.c.name.label("user"), projects.c.name.label("project"))
    .join(users, users.c.id == refusal_log.c.user_id)
    .join(projects, projects.c.id == refusal_log.c.project_id)
)


def _record(row: sa.RowMapping) -> RefusalRecord:
    return RefusalRecord(**row)
