"""Restore of a backup: its pictures first, then its database, brought up to what happened since as far as that is known."""

import asyncio
import shutil
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from app.blobs.picture_files import PictureFiles
from app.control.backup import PICTURES, Progress, digest_of, in_quiet_thread
from app.control.bill_reader import BillReader
from app.control.manifest import Manifest, beside, read_pictures, rename_durably
from app.control.pepper import Peppers
from app.control.revocations import apply_revocations
from app.control.spent_since import SpentSince, book_charges
from app.core.actors import Actor
from app.core.intervals import DAY_MS, MINUTE_MS
from app.errors import ConfigurationError
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.journal import Revocation, read_journals
from app.store.migrations import upgrade
from app.store.schema import schema_state
from app.store.spent_since import LostCharge
from app.store.sqlite_copy import check_sqlite
from app.store.tables import backups, invitations, processes, sessions

TIMEOUT_S = 600.0
KEEP_MS = 3652 * DAY_MS
DRAFT = ".restoring"


@dataclass(frozen=True, slots=True)
class Restored:
    """Result of a restore. `sessions` and `invitations` were ended; of the journal's revocations `revocations` were applied again,
    and `not_applied` could not be; `charges` are those booked to the organization. `missing` pictures are not in the backup, and
    `replaced` is where the database that was here before is kept."""

    manifest: Manifest
    sessions: int
    invitations: int
    revocations: int
    not_applied: tuple[Revocation, ...]
    charges: tuple[LostCharge, ...]
    pictures: int
    missing: tuple[str, ...]
    replaced: Path | None


@dataclass(frozen=True, slots=True)
class Restore:
    """Restore of the backup `file` into a database. Nobody else may use the directory of SQLite meanwhile.

    `spent` is what somebody read at the relays as spent since, in micros: at all together, or by name at those whose logs are not
    to be read.
    """

    file: Path
    manifest: Manifest
    where: DatabaseUrl
    peppers: Peppers | None
    currency: str
    zone: ZoneInfo
    files: PictureFiles
    journals: Sequence[Path]
    bills: BillReader
    spent: int | Mapping[str, int]
    actor: Actor

    async def run(self, progress: Progress) -> Restored:
        """Restore. Raises ConfigurationError for a backup that is damaged or does not belong here, before anything is changed."""
        self._check_binding()
        await self._check_whole(self.file)
        if self.where.dialect == "postgresql":
            await self._check_postgresql()
        async with self._database() as database:
            since = SpentSince(database, self.bills, self.zone, self.manifest.made_at_ms)
            charges = await since.charges(self.spent)
            copied, missing = await self._restore_pictures(progress)
            done = await self._bring_up_to_date(database, charges)
        replaced = self._replace() if self.where.path is not None else None
        return Restored(self.manifest, *done, copied, tuple(missing), replaced)

    def _check_binding(self) -> None:
        found, where = self.manifest, self.where.public
        if found.database != self.where.dialect:
            other = "unset IMAGEGATE_DATABASE_URL" if found.database == "sqlite" else "set IMAGEGATE_DATABASE_URL"
            raise ConfigurationError(
                f"The backup is of {found.database}, and {where} is {self.where.dialect}: {other}."
            )
        bound = found.secret_fingerprint
        if bound is not None and (self.peppers is None or self.peppers.of(bound) is None):
            raise ConfigurationError(
                "The secret here is not the one of the backup: none of its keys would work. Put the IMAGEGATE_SECRET_KEY, or the "
                "file secret_key in the data directory, that belongs to it first."
            )
        for name, is_here in (("currency", self.currency), ("timezone", self.zone.key)):
            if (its := getattr(found, name)) not in (None, is_here):
                setting = f"IMAGEGATE_{name.upper()}"
                raise ConfigurationError(
                    f"The backup is bound to {its}, and {setting} says {is_here}: set {setting}={its}."
                )

    async def _check_whole(self, file: Path) -> None:
        try:
            size, digest = await in_quiet_thread(digest_of, file)
        except OSError as exc:
            raise ConfigurationError(f"{file} cannot be read ({exc.strerror}).") from exc
        if (size, digest) != (self.manifest.bytes, self.manifest.digest):
            raise ConfigurationError(
                f"{file} is not what its manifest says: it was changed or damaged. Take another backup."
            )

    async def _check_postgresql(self) -> None:
        """Check that the database is empty: so no gateway can be using it, and nothing in it is lost."""
        from app.store.postgresql_copy import has_tables

        database = open_database(self.where)
        try:
            newest, has_some = (await schema_state(database)).newest, await has_tables(database)
        finally:
            await database.close()
        if has_some:
            raise ConfigurationError(
                f"{self.where.public} has tables. Make an empty database, let IMAGEGATE_DATABASE_URL name it, and restore there; "
                "the old one stays as it is."
            )
        if self.manifest.schema != newest:
            raise ConfigurationError(
                f"The backup has schema {self.manifest.schema}, and this imagegate needs {newest}. Restore it with the imagegate "
                "that made it, then run `imagegate db upgrade` with this one."
            )

    async def _restore_pictures(self, progress: Progress) -> tuple[int, list[str]]:
        pictures, missing = read_pictures(self.file), list[str]()
        until_ms, copied = time.time_ns() // 1_000_000 + KEEP_MS, 0
        for number, (name, _) in enumerate(pictures, 1):
            if not await self.files.blobs.has_all([name]):
                if await in_quiet_thread(self._store, self.file.parent / PICTURES / name):
                    await self.files.share(name, until_ms)
                    copied += 1
                else:
                    missing.append(name)
            progress("pictures", number, len(pictures))
        return copied, missing

    def _store(self, source: Path) -> bool:
        """Store a picture of the backup. Return False when it is absent, or not what its name stands for."""
        try:
            with source.open("rb") as file:
                stored = self.files.store(iter(lambda: file.read(256 * 1024), b""))
        except FileNotFoundError:
            return False
        return stored is not None and stored.digest == source.name

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        """Open the database of the backup where no gateway uses it yet."""
        if self.where.path is None:
            from app.store.postgresql_copy import drop_restored, restore_postgresql, set_version

            await restore_postgresql(self.where, self.file)
            database = open_database(self.where, TIMEOUT_S).by(self.actor)
            try:
                yield database
                await set_version(database, self.manifest.schema)
            except ConfigurationError:
                await drop_restored(database)
                raise
            finally:
                await database.close()
            return
        draft = beside(self.where.path, DRAFT)
        _remove(draft)
        await in_quiet_thread(shutil.copyfile, self.file, draft)
        draft.chmod(0o600)
        await self._check_whole(draft)
        await in_quiet_thread(check_sqlite, draft, threading.Event())
        database = open_database(DatabaseUrl("sqlite", path=draft)).by(self.actor)
        try:
            if not (await schema_state(database)).up_to_date:
                await upgrade(database)
            yield database
        except ConfigurationError:
            await database.close()
            _remove(draft)
            raise
        finally:
            await database.close()

    async def _bring_up_to_date(
        self, database: Database, charges: Sequence[LostCharge]
    ) -> tuple[int, int, int, tuple[Revocation, ...], tuple[LostCharge, ...]]:
        async with database.transaction() as connection:
            ended = (await connection.execute(sa.delete(sessions))).rowcount
            open_ = sa.delete(invitations).where(invitations.c.accepted_at_ms.is_(None))
            withdrawn = (await connection.execute(open_)).rowcount
            await connection.execute(sa.delete(processes))
            await connection.execute(sa.update(backups).values(running_until_ms=None))
        since_ms = self.manifest.made_at_ms
        revocations = await asyncio.to_thread(read_journals, self.journals, since_ms - MINUTE_MS)
        applied, failed = await apply_revocations(database, revocations)
        await book_charges(database, self.zone, charges)
        return ended, withdrawn, applied, tuple(failed), tuple(charges)

    def _replace(self) -> Path | None:
        """Put the restored database in its place; returns where the one that was there is kept."""
        path = self.where.path
        assert path is not None
        kept = None
        if path.exists():
            kept = path.with_name(f"{path.stem}-replaced-{time.strftime('%Y%m%dT%H%M%S')}.db")
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    beside(path, suffix).rename(beside(kept, suffix))
        rename_durably(beside(path, DRAFT), path)
        return kept


def _remove(draft: Path) -> None:
    for path in (draft, beside(draft, "-wal"), beside(draft, "-shm")):
        path.unlink(missing_ok=True)
