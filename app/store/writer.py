"""The one writer to SQLite, many transactions in one commit.

With `synchronous=FULL` a commit waits for the disk; sharing it among all that wait is what makes durable accounting fast. On a
quick disk the event loop commits itself, because waking a thread, and the interpreter's lock that goes to and fro with each
statement, cost more than the disk. Whatever may take long is left to a thread: a slow disk, a database that somebody else has
locked, and checkpoints.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from app.errors import StoreUnavailable
from app.store.engine import AWAY, BUSY_TIMEOUT_S, SQLITE_PRAGMAS, unavailability

log = structlog.get_logger()
T = TypeVar("T")
Work = Callable[[sqlite3.Connection], Any]
BATCH_MAX = 64
"""Pieces of work in one commit. The event loop does nothing else meanwhile."""
QUICK_S = 0.002
"""Where the last AVERAGED_COMMITS took longer, the disk is a slow one."""
AVERAGED_COMMITS = 16
LONG_S = 0.05
"""A transaction that takes longer, whatever for, is no work for the event loop either."""
AWAY_COMMITS_MIN = 50
AWAY_COMMITS_MAX = 3200
"""So many commits of a slow disk are made by the thread before it is looked at again."""
SOON_S = 0.01
"""How long what nobody waits for may lie in the system's memory before it is put on the disk."""
SYNC_RETRY_S = 1.0
"""How much longer it lies there where that failed, until it is tried again."""
CHECKPOINT_JOBS = 500
"""A request is three of them and some ten pages; SQLite's own habit is a checkpoint each 1,000 pages."""


@dataclass(slots=True)
class _Job:
    """One piece of work, and where its outcome goes."""

    work: Work
    synced: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def deliver(self) -> None:
        if self.future.done():  # The waiter was cancelled; what was committed stays committed.
            return
        if self.error is None:
            self.future.set_result(self.result)
        elif isinstance(self.error, StopIteration):  # No future takes it.
            self.future.set_exception(RuntimeError("the work raised StopIteration"))
        else:
            self.future.set_exception(self.error)


@dataclass(slots=True)
class _Pace:
    """Whether the disk is quick enough for the event loop to wait for it: on average, because on a busy machine a commit takes
    long now and then without the disk. Where it is not, the thread has it for a while; for longer, if that was not enough."""

    _average_s: float = 0.0
    _left_away: int = 0
    _next_away: int = AWAY_COMMITS_MIN
    _here: int = 0

    @property
    def quick(self) -> bool:
        return self._left_away == 0

    def committed_here(self, commit_s: float, transaction_s: float, *, waited: bool) -> None:
        """`waited`: for the disk. A commit that did not says nothing of it."""
        if waited:
            self._average_s += (commit_s - self._average_s) / AVERAGED_COMMITS
        self._here += 1
        if self._here >= self._next_away:
            self._next_away = AWAY_COMMITS_MIN
        if (waited and self._average_s >= QUICK_S) or transaction_s >= LONG_S:
            self._left_away = self._next_away
            self._next_away = min(2 * self._next_away, AWAY_COMMITS_MAX)
            self._average_s, self._here = 0.0, 0

    def committed_away(self) -> None:
        self._left_away = max(0, self._left_away - 1)


class Writer:
    """Runs work inside `BEGIN IMMEDIATE`, in order. A piece of work returns a refusal before it writes; it raises only
    when something is broken, and then only it fails: the others of its commit are run again, one by one.

    For one event loop. The connection is the thread's while `_lent`, and the loop's otherwise.
    """

    def __init__(self, path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S):
        self._path = Path(os.path.realpath(path))  # SQLite's log lies beside the file itself, not beside a link to it.
        self._busy_timeout_s = busy_timeout_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")
        self._thread.submit(int)  # It begins now: once bookings wait for it, the system may allow no thread more.
        self._connection: sqlite3.Connection | None = None
        self._demanded: dict[str, int | str] = {}
        self._waiting: list[_Job] = []
        self._turn_is_due = False
        self._lent = False
        self._looked_at = 0
        self._unsynced_since_s: float | None = None
        self._syncing: asyncio.TimerHandle | None = None
        self._sync_under_way: asyncio.Future[None] | None = None
        self._unchecked = 0
        self._pace = _Pace()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    def run(self, work: Callable[[sqlite3.Connection], T], *, synced: bool = True) -> asyncio.Future[T]:
        """What `work` returned, once it is on the disk. Raises StoreUnavailable or StorageFull.

        What need not be `synced` survives this process all the same, and a power cut SOON_S later.
        """
        if self._closed:
            raise StoreUnavailable(AWAY)
        job = _Job(work, synced, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self._idle.clear()
        self._call_turn()
        return job.future

    async def close(self) -> None:
        """Finish what is queued."""
        self._closed = True
        await self._idle.wait()
        if self._syncing is not None:
            self._syncing.cancel()
        if self._sync_under_way is not None:
            await self._sync_under_way
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._sync)
        await loop.run_in_executor(self._thread, self._drop)  # The last checkpoint is made there.
        self._thread.shutdown()

    def _call_turn(self) -> None:
        """Have `_turn` called soon, once for all that wait."""
        if self._turn_is_due or self._lent:
            return
        self._turn_is_due = True
        self._looked_at = len(self._waiting)
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Commit what waits, here or in the thread, once a turn of the event loop has brought nothing more."""
        if self._looked_at < (waiting := len(self._waiting)) < BATCH_MAX:
            self._looked_at = waiting
            asyncio.get_running_loop().call_soon(self._turn)
            return
        self._turn_is_due = False
        batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        self._unchecked += len(batch)
        if self._pace.quick and self._unchecked < CHECKPOINT_JOBS and self._commit(batch, patient=False):
            self._deliver(batch)
        else:
            self._lend(batch)

    def _lend(self, batch: list[_Job]) -> None:
        """The thread takes its time over them."""
        self._lent = True
        committing = asyncio.get_running_loop().run_in_executor(self._thread, self._commit_and_check, batch)
        committing.add_done_callback(lambda committed: self._return(batch, committed))

    def _return(self, batch: list[_Job], committed: asyncio.Future[None]) -> None:
        self._lent = False
        if (bug := committed.exception()) is not None:
            _fail(batch, bug)
        self._deliver(batch)

    def _deliver(self, batch: list[_Job]) -> None:
        self._sync_soon()
        for job in batch:
            job.deliver()
        if self._waiting:
            self._call_turn()
        else:
            self._idle.set()

    def _commit_and_check(self, batch: list[_Job]) -> None:
        """In the thread. What SQLite has only in its log is put into the file now and then, so that the log begins anew."""
        self._commit(batch, patient=True)
        if self._unchecked >= CHECKPOINT_JOBS and self._connection is not None:
            self._unchecked = 0
            with suppress(sqlite3.Error):  # What is not done now is done the next time.
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def _commit(self, batch: list[_Job], *, patient: bool) -> bool:
        """False when nothing has happened yet, and what is left to do may take long: somebody else has the database locked, or
        one of several is broken. Never when it is `patient`."""
        try:
            db = self._open(self._busy_timeout_s if patient else 0)
            self._demand("busy_timeout", int(self._busy_timeout_s * 1000) if patient else 0)
            self._demand("synchronous", "FULL" if any(job.synced for job in batch) else "NORMAL")
            db.execute("BEGIN IMMEDIATE")
        except Exception as exc:  # Not to be opened: trying one by one would only make all wait longer.
            if patient:
                _fail(batch, exc)
                self._drop()
            return patient
        if self._transaction(db, batch) or len(batch) == 1:
            return True
        for job in batch:
            job.error = None
            if patient:
                self._commit([job], patient=True)
        return patient

    def _transaction(self, db: sqlite3.Connection, batch: list[_Job]) -> bool:
        """All of `batch`, in the transaction that has begun. False when it was rolled back."""
        try:
            changes, opened_s = db.total_changes, time.perf_counter()
            for job in batch:
                job.result = job.work(db)
            began_s = time.perf_counter()
            db.execute("COMMIT")
            waited = False
            if db.total_changes > changes:
                waited = any(job.synced for job in batch)
                self._unsynced_since_s = None if waited else self._unsynced_since_s or time.monotonic()
            ended_s = time.perf_counter()
            if self._lent:
                self._pace.committed_away()
            else:
                self._pace.committed_here(ended_s - began_s, ended_s - opened_s, waited=waited)
        except Exception as exc:
            _fail(batch, exc)
            # What cannot even be rolled back fails at its next BEGIN, and is opened anew then.
            with suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            return False
        return True

    def _sync_soon(self) -> None:
        """One at a time, and hardly ever under load: what others wait for takes along what came before it."""
        if self._unsynced_since_s is None or self._syncing is not None or self._sync_under_way is not None:
            return
        self._syncing = asyncio.get_running_loop().call_later(SOON_S, self._sync_if_due)

    def _sync_if_due(self) -> None:
        self._syncing, since_s = None, self._unsynced_since_s
        if since_s is None or self._closed:
            return
        loop, left_s = asyncio.get_running_loop(), since_s + SOON_S - time.monotonic()
        if left_s > 0:
            self._syncing = loop.call_later(left_s, self._sync_if_due)
        else:
            self._sync_under_way = loop.run_in_executor(None, self._sync)
            self._sync_under_way.add_done_callback(self._synced)

    def _synced(self, _sync: asyncio.Future[None]) -> None:
        self._sync_under_way = None
        self._sync_soon()

    def _sync(self) -> None:
        """In a thread, but not behind what waits in ours for a locked database. What is committed meanwhile has a time of its own:
        it is forgotten before the sync, and noted after the commit."""
        if self._unsynced_since_s is None:
            return
        self._unsynced_since_s = None
        try:
            log_file = os.open(f"{self._path}-wal", os.O_RDWR | os.O_CLOEXEC)
            try:
                os.fsync(log_file)
            finally:
                os.close(log_file)
        except OSError as exc:
            if isinstance(exc, FileNotFoundError) and self._connection is None:
                return  # Nobody had the database open any more: then SQLite has put everything into it, synced.
            log.error("bookings could not be put on the disk; a power cut may undo them", error=exc.strerror)
            self._unsynced_since_s = time.monotonic() + SYNC_RETRY_S

    def _open(self, busy_timeout_s: float) -> sqlite3.Connection:
        if self._connection is None:
            address = f"file:{self._path}?mode=rw"
            db = sqlite3.connect(
                address, timeout=busy_timeout_s, uri=True, isolation_level=None, check_same_thread=False
            )
            for pragma in (*SQLITE_PRAGMAS, "wal_autocheckpoint=0"):
                if not pragma.startswith("busy_timeout"):  # That one is asked for anew each time.
                    db.execute(f"PRAGMA {pragma}")
            self._connection, self._demanded = db, {}
        return self._connection

    def _demand(self, pragma: str, value: int | str) -> None:
        """Set it, where it is not set like that already."""
        if self._connection is not None and self._demanded.get(pragma) != value:
            self._connection.execute(f"PRAGMA {pragma}={value}")
            self._demanded[pragma] = value

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None


def _fail(batch: list[_Job], exc: BaseException) -> None:
    for job in batch:
        job.error = (unavailability(exc) if isinstance(exc, sqlite3.Error) else None) or exc
