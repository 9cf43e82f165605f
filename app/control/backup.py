"""Backup of a gateway while it runs: its database in one snapshot, then the pictures that this snapshot names."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from blake3 import blake3

from app.blobs.picture_files import PictureFiles
from app.control.manifest import PICTURE_LIST, SUFFIX, Manifest, beside, rename_durably, write_durably
from app.errors import ConfigurationError, Conflict, GatewayError
from app.spool import Slice, Spool
from app.store.backups import BackupRows, LastBackup
from app.store.book_facts import BookFacts, facts_of_file
from app.store.engine import Database
from app.store.sqlite_copy import copy_sqlite, lower_priority

PICTURES = "pictures"
RENEW_S = 60.0
T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Listener to a backup or restore: what is done (`database` or `pictures`), how much of it, and of how much."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Maker of backups of one gateway. `database` is opened with a timeout that leaves time to count its rows."""

    database: Database
    files: PictureFiles

    @property
    def rows(self) -> BackupRows:
        """State of backups that all replicas share."""
        return BackupRows(self.database)

    async def make(self, file: Path, progress: Progress, *, due_ms: int | None = None) -> Manifest:
        """Make a backup in the new file `file`, with its manifest and pictures beside it. `due_ms` is when a nightly one was due.

        Meanwhile no replica removes the file of a picture. Raises ConfigurationError, Conflict while another backup runs,
        and where a nightly one is made already; StoreUnavailable.
        """
        _check_target(file)
        async with self._claimed(due_ms) as made_at_ms:
            try:
                manifest = await self._make(file, made_at_ms, progress, due_ms is not None)
            except BaseException as exc:
                for suffix in (".partial", PICTURE_LIST, ""):
                    beside(file, suffix).unlink(missing_ok=True)
                if not isinstance(exc, (OSError, sqlite3.Error)):
                    raise
                why = getattr(exc, "strerror", None) or str(exc)
                raise ConfigurationError(f"The backup {file} cannot be written ({why}).") from exc
            await self.rows.end(LastBackup(made_at_ms, str(file)))
        return manifest

    async def _make(self, file: Path, made_at_ms: int, progress: Progress, nightly: bool) -> Manifest:
        draft = beside(file, ".partial")
        facts = await self._copy_database(draft, progress)
        size, digest = await in_quiet_thread(digest_of, draft)
        rename_durably(draft, file)
        lines = "".join(f"{name} {size}\n" for name, size in facts.pictures)
        write_durably(beside(file, PICTURE_LIST), lines)
        missing = await copy_pictures(self.files, facts.pictures, file.parent / PICTURES, progress)
        given = {"digest": digest, "bytes": size, "missing": tuple(missing), "nightly": nightly}
        manifest = Manifest.of(facts, database=self.database.where.dialect, made_at_ms=made_at_ms, **given)
        manifest.write(file)
        return manifest

    async def _copy_database(self, draft: Path, progress: Progress) -> BookFacts:
        if (source := self.database.where.path) is None:
            from app.store.postgresql_copy import dump_postgresql  # asyncpg takes 5 MiB, which SQLite does not need.

            return await dump_postgresql(self.database, draft)
        stop = threading.Event()
        try:
            await in_quiet_thread(copy_sqlite, source, draft, stop, lambda *amounts: progress("database", *amounts))
            return await in_quiet_thread(facts_of_file, draft)
        finally:
            stop.set()  # A cancellation does not end the thread.

    @asynccontextmanager
    async def _claimed(self, due_ms: int | None) -> AsyncIterator[int]:
        """Claim the right to make a backup until the end of the block; yields the database's time (ms)."""
        made_at_ms = await self.rows.begin(due_ms)
        if made_at_ms is None:
            raise Conflict(
                "Another backup of this gateway runs. Try again when it has ended; one that was killed counts as running for "
                "ten minutes."
            )
        renewing = asyncio.create_task(self._renew())
        try:
            yield made_at_ms
        except BaseException:
            renewing.cancel()
            with suppress(GatewayError):
                await self.rows.end(None)
            raise
        renewing.cancel()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(GatewayError):
                await self.rows.renew()


async def copy_pictures(
    files: PictureFiles, pictures: Sequence[tuple[str, int]], folder: Path, progress: Progress
) -> list[str]:
    """Copy pictures, each by name and bytes, into a folder that may hold some already; returns those that are gone or damaged.

    Raises OSError, BlobUnavailable while the bucket fails.
    """
    there = await asyncio.to_thread(_names_in, folder)
    left = [name for name, _ in pictures if name not in there]
    # A removal that begins with the backup sets a file aside for a moment, and puts it back: it is looked for twice.
    for _ in range(2):
        left, wanted = [], left
        for number, name in enumerate(wanted, 1):
            spool = await files.open(name)
            if spool is None or not await in_quiet_thread(_write_picture, spool, name, folder):
                left.append(name)
            progress("pictures", number, len(wanted))
    return left


def _names_in(folder: Path) -> set[str]:
    """List the files in a folder, which is made where there is none."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {entry.name for entry in os.scandir(folder)}


def _write_picture(spool: Spool, name: str, folder: Path) -> bool:
    """Write a picture under its name. Return False, and write nothing, when its bytes are not those that the name stands for."""
    draft, digest = folder / f".{name}.partial", blake3()
    try:
        with draft.open("wb") as file:
            for chunk in spool.chunks(Slice(0, spool.size_bytes)):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != name:
            return False
        rename_durably(draft, folder / name)
        return True
    finally:
        spool.close()
        draft.unlink(missing_ok=True)


def digest_of(file: Path) -> tuple[int, str]:
    """Return size and BLAKE3 of a file. Blocks. Raises OSError."""
    return file.stat().st_size, blake3(max_threads=1).update_mmap(file).hexdigest()


async def in_quiet_thread(work: Callable[..., T], *arguments: object) -> T:
    """Run blocking work in a thread of its own, which leaves the CPU to requests. A cancellation does not wait for it."""
    pool = ThreadPoolExecutor(1, initializer=lower_priority)
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
    finally:
        pool.shutdown(wait=False)


def _check_target(file: Path) -> None:
    if not file.parent.is_dir():
        raise ConfigurationError(f"There is no folder {file.parent}. Make it, on another disk than the database's.")
    if found := [path for path in (file, beside(file, SUFFIX)) if path.exists()]:
        raise ConfigurationError(f"{found[0]} is there already. Name another file; a backup never replaces one.")
