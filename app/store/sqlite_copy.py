"""Copies of an SQLite database that is in use."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.errors import ConfigurationError

WATCH_S = 0.2
NICE = 10
"""Niceness of the threads that copy."""
Done = Callable[[int, int], None]
"""Listener to a copy: bytes that are written, and bytes in all, as far as they are known."""


def copy_sqlite(source: Path, target: Path, stop: threading.Event, done: Done = lambda *_: None) -> None:
    """Copy a database into the new file `target`, in one snapshot, whatever is written meanwhile; then fsync and check the copy.

    The paged backup of sqlite3 begins anew after each write of another connection, and never ends under load; VACUUM INTO reads
    one snapshot. Blocks for seconds per GB: call it in a thread; `stop` interrupts it. Raises ConfigurationError for a damaged
    database, sqlite3.Error, OSError.
    """
    target.unlink(missing_ok=True)
    fd = os.open(
        target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )  # VACUUM would make it for everybody.
    try:
        whole = source.stat().st_size
        with _opened(source, "rw") as db, _watched(db, stop, lambda: _write_back(fd, whole, done)):
            db.execute("VACUUM INTO ?", (str(target),))
        os.fsync(fd)
    finally:
        os.close(fd)
    check_sqlite(target, stop)


def check_sqlite(path: Path, stop: threading.Event) -> None:
    """Check the structure of a database that nobody writes. Blocks. Raises ConfigurationError for a damaged one."""
    try:
        with _opened(path, "ro") as db, _watched(db, stop, lambda: None):
            [found] = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as exc:
        found = str(exc)
    if found != "ok":
        raise ConfigurationError(f"{path} is damaged: {found}.")


def lower_priority() -> None:
    """Let the calling thread have the CPU after the requests of the gateway, where the system can tell threads apart."""
    if hasattr(os, "setpriority") and hasattr(threading, "get_native_id"):
        thread = threading.get_native_id()
        if os.getpriority(os.PRIO_PROCESS, thread) < NICE:  # A process that is nicer already may not become less so.
            os.setpriority(os.PRIO_PROCESS, thread, NICE)


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode={mode}"  # An absent file is an error then.
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30)) as db:
        yield db


def _write_back(fd: int, whole: int, done: Done) -> None:
    """Have the system begin to write what was copied so far: one fsync of it all would make the commits of requests wait, and so
    would many, which end the file system's journal each time."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    done(os.fstat(fd).st_size, whole)


@contextmanager
def _watched(db: sqlite3.Connection, stop: threading.Event, look: Callable[[], None]) -> Iterator[None]:
    """Call `look` while a statement runs, and interrupt it when `stop` is set."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(WATCH_S):
            if stop.is_set():
                db.interrupt()
            look()

    watcher = threading.Thread(target=watch, name="copy of the database")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
