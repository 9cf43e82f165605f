"""One thread that writes to SQLite, many transactions in one commit.

With `synchronous=FULL` a commit waits for the disk; sharing it among all that wait is what makes durable accounting fast.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from app.errors import StoreUnavailable
from app.store.engine import AWAY, BUSY_TIMEOUT_S, SQLITE_PRAGMAS, unavailability

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
BATCH_MAX = 256


class _Job:
    """One piece of work, and where its outcome goes."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Work):
        self.work = work
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def deliver(self) -> None:
        if self.future.done():  # The waiter was cancelled; what was committed stays committed.
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Writer:
    """Runs work inside `BEGIN IMMEDIATE`, in order. A piece of work returns a refusal before it writes; it raises only
    when something is broken, and then only it fails: the others of its commit are run again, one by one."""

    def __init__(self, path: Path):
        self._path = path
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._connection: sqlite3.Connection | None = None
        self._closed = False
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returned, once it is on the disk. Raises StoreUnavailable or StorageFull."""
        if self._closed:
            raise StoreUnavailable(AWAY)
        job = _Job(work)
        self._queue.put(job)
        result: T = await job.future
        return result

    async def close(self) -> None:
        """Finish what is queued."""
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            batch, last = [job], False
            while len(batch) < BATCH_MAX and not self._queue.empty():
                if (another := self._queue.get()) is None:
                    last = True
                    break
                batch.append(another)
            self._commit(batch)
            _deliver(batch)
            if last:
                break
        self._drop()

    def _commit(self, batch: list[_Job]) -> None:
        try:
            db = self._open()
            db.execute("BEGIN IMMEDIATE")
        except Exception as exc:  # Locked, or not to be opened: trying one by one would only make all wait longer.
            _fail(batch, exc)
            self._drop()
            return
        if not _transaction(db, batch) and len(batch) > 1:
            for job in batch:
                job.error = None
                self._commit([job])

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            db = sqlite3.connect(f"file:{self._path}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            for pragma in SQLITE_PRAGMAS:
                db.execute(f"PRAGMA {pragma}")
            self._connection = db
        return self._connection


def _transaction(db: sqlite3.Connection, batch: list[_Job]) -> bool:
    """All of `batch`, in the transaction that has begun. False when it was rolled back."""
    try:
        for job in batch:
            job.result = job.work(db)
        db.execute("COMMIT")
    except Exception as exc:
        _fail(batch, exc)
        # What cannot even be rolled back fails at its next BEGIN, and is opened anew then.
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        return False
    return True


def _fail(batch: list[_Job], exc: Exception) -> None:
    for job in batch:
        job.error = (unavailability(exc) if isinstance(exc, sqlite3.Error) else None) or exc


def _deliver(batch: Iterable[_Job]) -> None:
    """Wake each event loop once for all of its jobs."""
    loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in batch:
        loops.setdefault(job.loop, []).append(job)
    for loop, jobs in loops.items():
        try:
            loop.call_soon_threadsafe(_deliver_here, jobs)
        except RuntimeError:  # The loop is closed: nobody waits any more.
            continue


def _deliver_here(jobs: list[_Job]) -> None:
    for job in jobs:
        job.deliver()
