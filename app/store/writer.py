"""Writer to SQLite: a thread that commits all waiting jobs in one transaction.

With `synchronous=FULL` a commit waits for the disk. Jobs that wait at the same time share a commit, and the event loop waits
neither for the disk nor for a lock.
"""

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from app.errors import StoreUnavailable
from app.store.engine import AWAY, sqlite_error_kind, unavailability
from app.store.sqlite import SQLITE_PRAGMAS

log = structlog.get_logger()
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
BATCH_MAX = 256
"""Jobs in one commit: some 10 ms of statements."""


@dataclass(slots=True)
class _Job:
    """Job of a caller, the future it awaits, and the job's result or error."""

    work: Work
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def deliver(self) -> None:
        if self.future.done():  # The caller was cancelled; the commit stands.
            return
        if self.error is None:
            self.future.set_result(self.result)
        elif isinstance(self.error, StopIteration):  # A future refuses this exception.
            self.future.set_exception(RuntimeError("the work raised StopIteration"))
        else:
            self.future.set_exception(self.error)


class Writer:
    """Runs work inside `BEGIN IMMEDIATE` in a thread of its own, in the order of the calls.

    A job returns a refusal before it writes; it raises only when something is broken, and then only it fails: the others of its
    commit are run again, one by one. After an I/O error every job fails until the database has been checked, see `_check`.
    """

    def __init__(self, path: Path, busy_timeout_s: float | None = None):
        """Start the thread. The first job opens the database. `busy_timeout_s` is the longest wait for another writer."""
        self._path = Path(os.path.realpath(path))
        self._busy_timeout_s = busy_timeout_s
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._must_check = False
        self._closed = False
        self._thread = threading.Thread(target=self._run_jobs, name="sqlite-writer", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Return a future of what `work` returned, done when its commit is on the disk.

        Raises StoreUnavailable once the writer is closed. The future raises StoreUnavailable, StorageFull, or what `work` raised.
        """
        if self._closed:
            raise StoreUnavailable(AWAY)
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        return job.future

    async def close(self) -> None:
        """Commit the queued jobs, then close the database and end the thread."""
        if self._closed:
            return
        last = self.run(lambda _: None)
        self._closed = True
        self._jobs.put(None)
        with suppress(Exception):
            await last  # The thread ends right after it, so joining it does not block the event loop.
        self._thread.join()

    def _run_jobs(self) -> None:
        is_last = False
        while not is_last:
            batch, is_last = self._next_batch()
            if batch:
                self._commit(batch)
                with suppress(RuntimeError):  # The event loop is closed: no caller waits.
                    batch[0].future.get_loop().call_soon_threadsafe(_deliver, batch)
        self._disconnect()

    def _next_batch(self) -> tuple[list[_Job], bool]:
        """Wait for a job, then take all waiting ones; True when they are the last."""
        batch: list[_Job] = []
        with suppress(queue.Empty):
            while len(batch) < BATCH_MAX:
                job = self._jobs.get(block=not batch)
                if job is None:
                    return batch, True
                batch.append(job)
        return batch, False

    def _commit(self, batch: list[_Job]) -> None:
        """Run the jobs in one transaction and note each one's result or error."""
        try:
            db = self._connect()
            db.execute("BEGIN IMMEDIATE")
        except Exception as exc:
            self._fail(batch, exc)
            self._disconnect()
            return
        try:
            for job in batch:
                job.result = job.work(db)
            db.execute("COMMIT")
        except Exception as exc:
            self._fail(batch, exc)
            self._roll_back(db)
            if len(batch) > 1 and not self._must_check:
                for job in batch:
                    job.error = None
                    self._commit([job])

    def _fail(self, batch: list[_Job], exc: Exception) -> None:
        for job in batch:  # Each with an error of its own: its traceback would tie the requests of a batch together.
            job.error = (unavailability(exc) if isinstance(exc, sqlite3.Error) else None) or exc
        if sqlite_error_kind(exc) == sqlite3.SQLITE_IOERR and not self._must_check:
            self._must_check = True
            log.error("the disk failed; nothing is bought until the database has been checked", error=str(exc))

    def _roll_back(self, db: sqlite3.Connection) -> None:
        try:
            if db.in_transaction:
                db.execute("ROLLBACK")
        except sqlite3.Error:
            self._must_check = True
        if self._must_check:
            self._disconnect()

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = db = sqlite3.connect(f"{self._path.as_uri()}?mode=rw", uri=True, isolation_level=None)
            for pragma in SQLITE_PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            if self._busy_timeout_s is not None:
                db.execute(f"PRAGMA busy_timeout={int(self._busy_timeout_s * 1000)}")
        if self._must_check:
            _check(self._connection)
            self._must_check = False
            log.warning("the database has been checked and is written to again")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _check(db: sqlite3.Connection) -> None:
    """Move the whole log into the database file and verify the file. Raises sqlite3.Error or StoreUnavailable.

    After a failed fsync the kernel may call pages clean that never reached the disk, and its next fsync succeeds without them
    (PostgreSQL's "fsyncgate"). So no part of the log can be relied on: the checkpoint writes it to the
    database file again, syncs that file, and restarts the log.
    """
    is_busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        raise StoreUnavailable(AWAY)  # A reader still uses the log.
    if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        log.error("the database is damaged; stop the gateway and restore a backup", found=found)
        raise StoreUnavailable(AWAY)


def _deliver(batch: list[_Job]) -> None:
    for job in batch:
        job.deliver()
