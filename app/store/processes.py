"""Gateway processes with their beats, by the database's clock, and the requests that dead ones left behind."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from app.store.engine import Database
from app.store.ledger.columns import OPEN
from app.store.requests import StoredRequest, select_stored, stored
from app.store.tables import is_unresolved, processes, requests

BEAT_S = 10.0
SILENT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Processes:
    """Beats and orphans. On SQLite the lock on the data directory proves that every other process is dead."""

    database: Database
    id: str

    async def beat(self) -> tuple[int, float]:
        """Tell that this process lives; what `Database.asked_now` returned before, for our clock to follow."""
        now_ms, asked_s = await self.database.asked_now()
        async with self.database.transaction() as connection:
            beaten = await connection.execute(
                sa.update(processes).where(processes.c.id == self.id).values(beat_at_ms=now_ms)
            )
            if beaten.rowcount == 0:
                row = {"id": self.id, "started_at_ms": now_ms, "beat_at_ms": now_ms}
                await connection.execute(sa.insert(processes).values(row))
        return now_ms, asked_s

    async def orphans(self, dead: Sequence[str], *, of_silent: bool) -> list[StoredRequest]:
        """Unfinished rows of the dead: of every other process on SQLite; on PostgreSQL of those in `dead` and, with
        `of_silent`, of those that have not beaten for 30 s."""
        lost = requests.c.owner != self.id
        if not self.database.is_sqlite:
            now_ms = await self.database.now_ms()
            beating = sa.select(processes.c.id).where(processes.c.beat_at_ms > now_ms - SILENT_MS)
            silent = requests.c.owner.not_in(beating) if of_silent else sa.false()
            lost = sa.and_(lost, sa.or_(requests.c.owner.in_(dead), silent))
        wanted = _UNRESOLVED.where(requests.c.state.in_(OPEN), lost)
        async with self.database.read() as connection:
            return await stored(connection, wanted)

    async def strays(self, older_than_ms: int) -> list[StoredRequest]:
        """Own rows still reserved after a time in which every request has been sent or refused: their reservation went
        through unnoticed."""
        wanted = _UNRESOLVED.where(
            requests.c.state == "reserved", requests.c.owner == self.id, requests.c.reserved_at_ms < older_than_ms
        )
        async with self.database.read() as connection:
            return await stored(connection, wanted)

    async def forget_dead(self) -> None:
        """Drop the beats of processes that are long gone and own nothing unfinished any more."""
        owners = sa.select(requests.c.owner).where(is_unresolved)
        now_ms = await self.database.now_ms()
        gone = processes.c.beat_at_ms < now_ms - 100 * SILENT_MS
        async with self.database.transaction() as connection:
            await connection.execute(sa.delete(processes).where(gone, processes.c.id.not_in(owners)))

    async def leave(self) -> None:
        """A process that ends in peace says so: what it could not finish is recovered at once."""
        async with self.database.transaction() as connection:
            await connection.execute(sa.delete(processes).where(processes.c.id == self.id))


_UNRESOLVED = select_stored().where(is_unresolved)


async def elsewhere(database: Database, near: Collection[str]) -> int:
    """Count the processes that live and are none of `near`, those that share a data directory."""
    if database.is_sqlite:
        return 0
    now_ms = await database.now_ms()
    beating = sa.select(processes.c.id).where(processes.c.beat_at_ms > now_ms - SILENT_MS)
    async with database.read() as connection:
        return len(set((await connection.execute(beating)).scalars()) - set(near))
