"""State of backups in the database, which all replicas and commands share."""

from dataclasses import dataclass

import sqlalchemy as sa

from app.store.engine import Database
from app.store.tables import backups

RUNNING_MS = 600_000
"""Time after which a backup that does not renew its claim counts as dead."""


@dataclass(frozen=True, slots=True)
class LastBackup:
    """Last backup that succeeded; both fields are None before the first one. `at_ms` is when it began."""

    at_ms: int | None
    file: str | None


@dataclass(frozen=True, slots=True)
class BackupRows:
    """Row of the backup that runs and of the last one. While one runs, no file of a picture is removed, on any replica."""

    database: Database

    async def begin(self, due_ms: int | None = None) -> int | None:
        """Claim the right to make a backup; returns the database's time (ms). None while another one runs, and where one has
        succeeded since `due_ms`."""
        now_ms = await self.database.now_ms()
        is_free = sa.func.coalesce(backups.c.running_until_ms, 0) < now_ms
        if due_ms is not None:
            is_free = sa.and_(is_free, sa.func.coalesce(backups.c.succeeded_at_ms, 0) < due_ms)
        return now_ms if await self._set(is_free, running_until_ms=now_ms + RUNNING_MS) else None

    async def renew(self) -> None:
        """Extend the claim of the backup that runs here."""
        now_ms = await self.database.now_ms()
        await self._set(backups.c.running_until_ms.is_not(None), running_until_ms=now_ms + RUNNING_MS)

    async def end(self, succeeded: LastBackup | None) -> None:
        """Give the claim back, and note the backup if it succeeded."""
        noted = {} if succeeded is None else {"succeeded_at_ms": succeeded.at_ms, "file": succeeded.file}
        await self._set(sa.true(), running_until_ms=None, **noted)

    async def last(self) -> LastBackup:
        async with self.database.read() as connection:
            row = (await connection.execute(sa.select(backups.c.succeeded_at_ms, backups.c.file))).one()
        return LastBackup(*row)

    async def is_running(self) -> bool:
        now_ms = await self.database.now_ms()
        [until_ms] = await self.database.column(sa.select(backups.c.running_until_ms))
        return until_ms is not None and until_ms > now_ms

    async def _set(self, where: sa.ColumnElement[bool], **values: object) -> bool:
        async with self.database.transaction() as connection:
            return (await connection.execute(sa.update(backups).where(where).values(**values))).rowcount == 1
