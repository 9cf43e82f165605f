"""Gateway processes with their heartbeats, by the database's clock, and the unfinished requests of dead ones."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from app.store.engine import Database
from app.store.ledger.columns import IN_PROGRESS
from app.store.requests import StoredRequest, select_stored, stored
from app.store.tables import is_unresolved, processes, requests

BEAT_S = 10.0
SILENT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Processes:
    """Heartbeats of this process, and orphaned requests of others. On SQLite this process holds the lock on the data
    directory, so every other one is dead."""

    database: Database
    id: str

    async def beat(self) -> tuple[int, float]:
        """Record a heartbeat. Returns the result of `Database.asked_now` before it, to set our clock by."""
        now_ms, asked_s = await self.database.asked_now()
        async with self.database.transaction() as connection:
            updated = await connection.execute(
                sa.update(processes).where(processes.c.id == self.id).values(beat_at_ms=now_ms)
            )
            if updated.rowcount == 0:
                row = {"id": self.id, "started_at_ms": now_ms, "beat_at_ms": now_ms}
                await connection.execute(sa.insert(processes).values(row))
        return now_ms, asked_s

    async def orphans(self, dead: Sequence[str], *, of_silent: bool) -> list[StoredRequest]:
        """List unfinished requests of dead processes: on SQLite of every other process; on PostgreSQL of those in `dead` and, with
        `of_silent`, of those without a heartbeat for 30 s."""
        lost = requests.c.owner != self.id
        if not self.database.is_sqlite:
            now_ms = await self.database.now_ms()
            beating = sa.select(processes.c.id).where(processes.c.beat_at_ms > now_ms - SILENT_MS)
            silent = requests.c.owner.not_in(beating) if of_silent else sa.false()
            lost = sa.and_(lost, sa.or_(requests.c.owner.in_(dead), silent))
        select = _UNRESOLVED.where(requests.c.state.in_(IN_PROGRESS), lost)
        return await self.database.ask(stored, select)

    async def unsent_reservations(self, older_than_ms: int) -> list[StoredRequest]:
        """List own requests reserved before `older_than_ms` and never sent. Their caller saw an error although the reservation
        was committed, so nothing will send them."""
        select = _UNRESOLVED.where(
            requests.c.state == "reserved", requests.c.owner == self.id, requests.c.reserved_at_ms < older_than_ms
        )
        return await self.database.ask(stored, select)

    async def forget_dead(self) -> None:
        """Delete processes that have been silent for 50 minutes and own no unfinished request."""
        owners = sa.select(requests.c.owner).where(is_unresolved)
        now_ms = await self.database.now_ms()
        gone = processes.c.beat_at_ms < now_ms - 100 * SILENT_MS
        async with self.database.transaction() as connection:
            await connection.execute(sa.delete(processes).where(gone, processes.c.id.not_in(owners)))

    async def deregister(self) -> None:
        """Delete this process when it shuts down, so that its unfinished requests are recovered at once."""
        async with self.database.transaction() as connection:
            await connection.execute(sa.delete(processes).where(processes.c.id == self.id))


_UNRESOLVED = select_stored().where(is_unresolved)


async def count_other_processes(database: Database, near: Collection[str]) -> int:
    """Count live processes outside `near`, the ids of those that share our data directory."""
    if database.is_sqlite:
        return 0
    now_ms = await database.now_ms()
    beating = sa.select(processes.c.id).where(processes.c.beat_at_ms > now_ms - SILENT_MS)
    async with database.read() as connection:
        return len(set((await connection.execute(beating)).scalars()) - set(near))
