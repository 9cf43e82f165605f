"""Stored answers: small ones as bytes in the row, and which are due for deletion."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from app.store.engine import Database
from app.store.ledger.columns import IN_PROGRESS, Cut, StoredResult
from app.store.tables import is_untaken, requests, results, users

PRUNE_MAX = 500


@dataclass(frozen=True, slots=True)
class ResultRows:
    """Table of stored answers. A row holds the body of a small answer; a large body is in a file. Raises StoreUnavailable."""

    database: Database
    keeps_untaken: bool = False
    """True: an answer may be removed only after its pictures are kept."""

    async def find(self, request_id: str) -> StoredResult | None:
        async with self.database.read() as connection:
            found = await connection.execute(sa.select(results).where(results.c.request_id == request_id))
            row = found.mappings().one_or_none()
        if row is None:
            return None
        cuts = None if row["cuts"] is None else tuple(Cut(*cut) for cut in row["cuts"])
        return StoredResult(row["body"], row["body_bytes"], row["created_at_ms"], row["expires_at_ms"], cuts)

    async def untaken_by(self, newest_ms: int) -> set[str]:
        """List the requests of all answers made at `newest_ms` or before whose pictures are not kept yet."""
        wanted = sa.select(results.c.request_id).where(is_untaken, results.c.created_at_ms <= newest_ms)
        return set(await self.database.column(wanted))

    async def shortened(self, request_ids: Sequence[str]) -> list[str]:
        """List those of these requests whose answer stands in its row because its pictures are kept."""
        wanted = sa.select(results.c.request_id).where(results.c.cuts.is_not(None), results.c.body.is_not(None))
        return await self._among(request_ids, results.c.request_id, wanted)

    async def of_erased_people(self, request_ids: Sequence[str]) -> list[str]:
        """List those of these requests that have ended and whose person is erased."""
        erased = sa.select(users.c.id).where(users.c.erased_at_ms.is_not(None))
        ended = sa.select(requests.c.id).where(requests.c.state.not_in(IN_PROGRESS), requests.c.user_id.in_(erased))
        return await self._among(request_ids, requests.c.id, ended)

    async def expired(self, now_ms: int) -> list[str]:
        """List the requests of up to PRUNE_MAX expired answers that may be removed, oldest first."""
        wanted = sa.select(results.c.request_id).where(results.c.expires_at_ms <= now_ms, *self._removable())
        return await self.database.column(wanted.order_by(results.c.expires_at_ms).limit(PRUNE_MAX))

    async def newest_above(self, bytes_max: int, younger_than_ms: int) -> int | None:
        """Find the creation time (ms) up to which answers must go for the rest to take `bytes_max` at most.

        None when the total fits, or when only answers made since `younger_than_ms` are above it.
        """
        columns = results.c
        order = (columns.created_at_ms, columns.request_id)
        return await newest_above(self.database, order, columns.body_bytes, bytes_max, younger_than_ms)

    async def made_by(self, newest_ms: int) -> list[str]:
        """List the requests of up to PRUNE_MAX answers made at `newest_ms` or before that may be removed, oldest first."""
        wanted = sa.select(results.c.request_id).where(results.c.created_at_ms <= newest_ms, *self._removable())
        return await self.database.column(wanted.order_by(results.c.created_at_ms).limit(PRUNE_MAX))

    async def forget(self, request_ids: Sequence[str]) -> None:
        """Delete the rows of these requests, which answer `result_expired` from now on."""
        async with self.database.transaction() as connection:
            await connection.execute(sa.delete(results).where(results.c.request_id.in_(request_ids)))

    async def _among(
        self, request_ids: Sequence[str], id: sa.ColumnElement[str], wanted: sa.Select[tuple[str]]
    ) -> list[str]:
        """List those of these requests that `wanted` selects, in steps of PRUNE_MAX."""
        steps = (request_ids[first : first + PRUNE_MAX] for first in range(0, len(request_ids), PRUNE_MAX))
        return [found for step in steps for found in await self.database.column(wanted.where(id.in_(step)))]

    def _removable(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (sa.not_(is_untaken),) if self.keeps_untaken else ()


async def newest_above(
    database: Database,
    order: tuple[sa.Column[int], sa.Column[str]],
    bytes: sa.ColumnElement[int],
    bytes_max: int,
    younger_than_ms: int,
    *where: sa.ColumnElement[bool],
) -> int | None:
    """Find the creation time (ms) up to which rows must go for the rest to take `bytes_max` bytes at most. `order` is the column
    of that time and the id; rows made since `younger_than_ms` stay, and those outside `where` do not count. None when nothing has
    to go. Raises StoreUnavailable."""
    created_at_ms, id = order
    newest_first = sa.func.sum(bytes).over(order_by=(created_at_ms.desc(), id.desc()))
    running = sa.select(created_at_ms.label("at_ms"), newest_first.label("bytes")).where(*where).subquery()
    above = sa.select(sa.func.max(running.c.at_ms)).where(
        running.c.bytes > bytes_max, running.c.at_ms < younger_than_ms
    )
    async with database.read() as connection:
        total = (await connection.execute(sa.select(sa.func.sum(bytes)).where(*where))).scalar_one()
        if (total or 0) <= bytes_max:
            return None
        newest_ms: int | None = (await connection.execute(above)).scalar_one()
        return newest_ms
