"""Group commit: what was acknowledged is on the disk, and one broken piece of work spoils no other."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.store.engine import BUSY_TIMEOUT_S
from app.store.writer import AWAY_COMMITS_MIN, BATCH_MAX, CHECKPOINT_JOBS, SOON_S, Writer

NORMAL, FULL = 1, 2  # As PRAGMA synchronous tells them.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "book.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")  # As every database of ours is, before anybody writes a book into it.
        db.execute("CREATE TABLE things (name TEXT PRIMARY KEY) STRICT")
    db.close()
    return path


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    writer = Writer(path)
    yield writer
    await writer.close()


def add(name: str):  # type: ignore[no-untyped-def]
    return lambda db: db.execute("INSERT INTO things VALUES (?)", (name,)).rowcount


def names(path: Path) -> set[str]:
    db = sqlite3.connect(path)
    try:
        return {name for (name,) in db.execute("SELECT name FROM things")}
    finally:
        db.close()


async def test_what_is_acknowledged_is_there_for_others_to_read(writer: Writer, path: Path) -> None:
    await writer.run(add("one"))

    assert names(path) == {"one"}


async def test_one_that_breaks_fails_alone(writer: Writer, path: Path) -> None:
    work = [add("one"), add("one"), add("two"), lambda db: db.execute("SELECT nonsense")]

    outcomes = await asyncio.gather(*(writer.run(each) for each in work), return_exceptions=True)

    assert [type(outcome).__name__ for outcome in outcomes] == ["int", "IntegrityError", "int", "OperationalError"]
    assert names(path) == {"one", "two"}


async def test_a_locked_database_is_unavailable_and_changes_nothing(path: Path) -> None:
    writer, other = Writer(path, busy_timeout_s=0.05), sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable):
        await writer.run(add("one"))
    other.execute("ROLLBACK")
    await writer.run(add("two"))

    assert names(path) == {"two"}
    await writer.close()
    other.close()


async def test_closing_finishes_what_is_queued(path: Path) -> None:
    writer = Writer(path)
    queued = [asyncio.ensure_future(writer.run(add(str(number)))) for number in range(300)]
    await asyncio.sleep(0)

    await writer.close()

    assert await asyncio.gather(*queued) == [1] * 300
    assert len(names(path)) == 300
    with pytest.raises(StoreUnavailable):
        await writer.run(add("late"))


async def test_the_event_loop_goes_on_while_somebody_else_has_the_database_locked(path: Path) -> None:
    writer, other = Writer(path), sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    writing, loop = asyncio.ensure_future(writer.run(add("one"))), asyncio.get_running_loop()
    turns_s = [loop.time()]
    for _ in range(50):
        await asyncio.sleep(0.002)
        turns_s.append(loop.time())
    assert not writing.done()
    other.execute("COMMIT")
    await writing

    assert max(later - sooner for sooner, later in pairwise(turns_s)) < BUSY_TIMEOUT_S / 2
    assert names(path) == {"one"}
    await writer.close()
    other.close()


async def test_a_quick_disk_needs_no_thread_and_a_slow_one_has_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, here = Writer(path), threading.get_ident()

    async def is_here() -> bool:
        return await writer.run(lambda _: threading.get_ident(), synced=False) == here

    async def is_slow_and_away_for(commits: int) -> None:
        monkeypatch.setattr("app.store.writer.QUICK_S", 0.0)
        await writer.run(add(f"slow {len(names(path))}"))
        monkeypatch.setattr("app.store.writer.QUICK_S", 60.0)
        for _ in range(commits):
            assert not await is_here()
        assert await is_here()

    monkeypatch.setattr("app.store.writer.QUICK_S", 60.0)
    assert await is_here()
    await is_slow_and_away_for(AWAY_COMMITS_MIN)
    await is_slow_and_away_for(2 * AWAY_COMMITS_MIN)
    for _ in range(4 * AWAY_COMMITS_MIN):
        assert await is_here()
    await is_slow_and_away_for(AWAY_COMMITS_MIN)
    await writer.close()


async def test_a_system_without_another_thread_keeps_nobody_waiting(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, other = Writer(path), sqlite3.connect(path, isolation_level=None)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    other.execute("BEGIN IMMEDIATE")
    writing = writer.run(add("one"))  # It is locked, which is for the thread to wait for.
    asyncio.get_running_loop().call_later(0.05, other.execute, "COMMIT")

    async with asyncio.timeout(5):
        await writing

    assert names(path) == {"one"}
    await writer.close()
    other.close()


async def test_one_slow_commit_among_quick_ones_does_not_make_a_slow_disk(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = threading.get_ident()
    await writer.run(add("quick"))
    monkeypatch.setattr("app.store.writer.QUICK_S", 0.02)
    clock = iter([0.0, 0.0, 0.2])  # The transaction, its commit, its end.
    monkeypatch.setattr("app.store.writer.LONG_S", 1.0)
    monkeypatch.setattr("app.store.writer.time.perf_counter", lambda: next(clock))
    await writer.run(add("slow"))
    monkeypatch.undo()

    assert await writer.run(lambda _: threading.get_ident()) == here


async def test_work_keeps_its_order_when_it_changes_hands(path: Path) -> None:
    writer, other, done = Writer(path), sqlite3.connect(path, isolation_level=None), []

    async def work(number: int) -> None:
        await writer.run(lambda _: done.append(number))

    first = [asyncio.ensure_future(work(number)) for number in range(BATCH_MAX + 10)]
    await asyncio.sleep(0)
    other.execute("BEGIN IMMEDIATE")
    second = [asyncio.ensure_future(work(number)) for number in range(BATCH_MAX + 10, 3 * BATCH_MAX)]
    await asyncio.sleep(0.01)
    other.execute("COMMIT")
    await asyncio.gather(*first, *second)

    assert done == list(range(3 * BATCH_MAX))
    await writer.close()
    other.close()


async def test_the_log_begins_anew_however_much_is_written(path: Path) -> None:
    writer, log = Writer(path), path.with_name(path.name + "-wal")
    for number in range(CHECKPOINT_JOBS):
        await writer.run(add(f"first {number}"))
    size = log.stat().st_size

    for number in range(3 * CHECKPOINT_JOBS):
        await writer.run(add(f"then {number}"))

    assert log.stat().st_size <= size * 1.5
    await writer.close()


async def test_only_what_must_be_synced_waits_for_the_disk(writer: Writer) -> None:
    def how(db: sqlite3.Connection) -> int:
        return int(db.execute("PRAGMA synchronous").fetchone()[0])

    alone = await writer.run(how, synced=False)
    together = await asyncio.gather(writer.run(how, synced=False), writer.run(how))

    assert (alone, await writer.run(how), list(together)) == (NORMAL, FULL, [FULL, FULL])


async def test_what_did_not_wait_for_the_disk_says_nothing_of_it(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.store.writer.QUICK_S", 0.0)
    await writer.run(lambda db: db.execute("SELECT 1").fetchone())
    await writer.run(add("one"), synced=False)

    assert await writer.run(lambda _: threading.get_ident()) == threading.get_ident()


async def test_the_thread_waits_for_its_turn_to_open_too(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("INSERT INTO things VALUES ('first')")
    asyncio.get_running_loop().call_later(0.3, other.close)
    writer = Writer(path)

    await writer.run(add("one"))

    assert names(path) == {"first", "one"}
    await writer.close()


async def test_a_commit_waits_for_company_as_long_as_some_comes(writer: Writer, path: Path) -> None:
    async def comes_after(turns: int, name: str) -> set[str]:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await writer.run(lambda db: (add(name)(db), names(path))[1])

    seen = await asyncio.gather(comes_after(0, "first"), *(comes_after(turns, str(turns)) for turns in range(10)))

    assert seen == [set()] * 11, "each saw another's work on the disk: they were not one commit"
    assert len(names(path)) == 11


@pytest.fixture
async def synced(anyio_backend: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once the log has been put on the disk by somebody other than SQLite."""
    loop, synced, fsync = asyncio.get_running_loop(), asyncio.Event(), os.fsync

    def watched(file: int) -> None:
        assert Path(f"/proc/self/fd/{file}").readlink() == path.with_name(path.name + "-wal")
        fsync(file)
        loop.call_soon_threadsafe(synced.set)

    monkeypatch.setattr("os.fsync", watched)
    return synced


@pytest.mark.parametrize("linked", [False, True])
async def test_what_nobody_waits_for_is_on_the_disk_soon(
    path: Path, tmp_path: Path, synced: asyncio.Event, linked: bool
) -> None:
    """Also where the file is a link: SQLite's log lies beside the file itself."""
    link = tmp_path / "elsewhere" / "book.db"
    link.parent.mkdir()
    link.symlink_to(path)
    writer = Writer(link if linked else path)

    await writer.run(add("one"), synced=False)
    assert not synced.is_set()

    async with asyncio.timeout(30):
        await synced.wait()
    await writer.close()


async def test_it_is_on_the_disk_soon_whatever_waits_for_a_locked_database(
    writer: Writer, path: Path, synced: asyncio.Event
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    await writer.run(add("one"), synced=False)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.ensure_future(writer.run(add("two"), synced=False))

    async with asyncio.timeout(BUSY_TIMEOUT_S / 2):
        await synced.wait()

    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    await waiting


async def test_a_sync_that_fails_is_tried_again(
    writer: Writer, synced: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, failures = os.fsync, [OSError(24, "Too many open files")]

    def fails_once(file: int) -> None:
        if failures:
            raise failures.pop()
        fsync(file)

    monkeypatch.setattr("app.store.writer.SYNC_RETRY_S", 0.01)
    monkeypatch.setattr("os.fsync", fails_once)
    await writer.run(add("one"), synced=False)

    async with asyncio.timeout(30):
        await synced.wait()


async def test_what_is_waited_for_takes_along_what_is_not(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)

    await writer.run(add("one"), synced=False)
    await writer.run(add("two"))
    await asyncio.sleep(5 * SOON_S)

    assert not synced


async def test_closing_puts_everything_on_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, other = Writer(path), sqlite3.connect(path)
    synced: list[int] = []
    other.execute("SELECT * FROM things").fetchall()
    monkeypatch.setattr("os.fsync", synced.append)

    await writer.run(add("one"), synced=False)
    await writer.close()

    assert len(synced) == 1
    other.close()
