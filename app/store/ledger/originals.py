"""Requests that came before: found by idempotency key or by id, and joined by the retries of SDKs that send no key."""

from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from app.core.request import Operation
from app.store.engine import Database
from app.store.ledger.types import State
from app.store.tables import requests

REMEMBER_MS = 120_000
"""A retry comes within seconds of the try before it; one that comes later is a new wish."""
LONGEST_MS = 7_200_000
"""No call of a client lasts longer, whatever was found out about its request since."""


@dataclass(frozen=True, slots=True)
class Original:
    """A request as those need it who ask for it again. `error` is what its client was told, None where it got images."""

    id: str
    state: State
    api_key_id: str
    operation: Operation
    model: str
    n: int
    size: str | None
    quality: str | None
    stream: bool
    fingerprint: bytes | None
    flag: str | None
    error: dict[str, Any] | None
    quote_micros: int
    cost_micros: int | None
    images: int | None
    reserved_at_ms: int
    dispatched_at_ms: int | None
    ended_at_ms: int | None

    @property
    def ended(self) -> bool:
        return self.state not in ("reserved", "dispatched")


@dataclass(frozen=True, slots=True)
class Originals:
    """Reading them, on either database."""

    database: Database

    async def find(self, request_id: str) -> Original | None:
        return await self._one(requests.c.id == request_id)

    async def keyed(self, api_key_id: str, idempotency_key: str) -> Original | None:
        """The one request that holds this idempotency key of this API key."""
        return await self._one(requests.c.api_key_id == api_key_id, requests.c.idempotency_key == idempotency_key)

    async def _one(self, *where: sa.ColumnElement[bool]) -> Original | None:
        wanted = sa.select(*(requests.c[name] for name in Original.__dataclass_fields__)).where(*where)
        async with self.database.read() as connection:
            row = (await connection.execute(wanted)).mappings().one_or_none()
        return None if row is None else original(row)


def original(row: Any) -> Original:
    """Of a row with all its columns."""
    return Original(**{**row, "stream": bool(row["stream"])})


class Retries(Protocol):
    """The bookkeeping of tries. Raises StoreUnavailable."""

    async def adopt(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
        """The id of the original that the retry number `count` belongs to, which has one try more from now on; None when
        it has to buy: a refusal of ours or a release came before it, or nothing did.

        What is looked for has had `count` tries, or fewer where some of them found nobody here. Of several alike the one with
        the most tries comes first, then a refusal, then an original that was not delivered, then the oldest. A refusal or a
        release is gone then. As each call leaves one thing here at most, calls that nothing tells apart are bought no more
        often than they were made: where one takes what another has left, that one finds what this one has.
        """
        ...

    async def note_refusal(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
        """Try number `count` was refused before anything was bought: the retry after it joins nobody."""
        ...

    async def disown(self, request_id: str, tries: int) -> bool:
        """Let nobody join a request any more that is reserved and not sent. False when somebody has joined it since it had
        `tries`, or it is not there."""
        ...

    async def delivered(self, request_ids: list[str], at_ms: int) -> None:
        """The last byte of these answers has been handed over; the first time counts."""
        ...
