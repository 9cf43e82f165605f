"""Group commit: what was acknowledged is on the disk, and one broken piece of work spoils no other."""

import ast
import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.store.sqlite import BUSY_TIMEOUT_S
from app.store.writer import BATCH_MAX, Writer


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


async def test_those_that_fail_together_have_an_error_each(path: Path) -> None:
    writer = Writer(path)
    path.unlink()

    errors = await asyncio.gather(*(writer.run(add(name)) for name in ("one", "two")), return_exceptions=True)

    assert [type(error) for error in errors] == [StoreUnavailable, StoreUnavailable]
    assert errors[0] is not errors[1]
    await writer.close()


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

    async with asyncio.timeout(30):
        await writing

    assert names(path) == {"one"}
    await writer.close()
    other.close()


async def test_work_is_done_in_the_order_of_its_calls_in_few_commits(writer: Writer, path: Path) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        begun.set()
        may_end.wait()

    first = writer.run(hold)
    await asyncio.to_thread(begun.wait)  # The rest comes while the thread is busy.

    def add_and_look(name: str) -> Callable[[sqlite3.Connection], set[str]]:
        return lambda db: add(name)(db) and names(path)

    waiting = [writer.run(add_and_look(str(number))) for number in range(BATCH_MAX)]
    may_end.set()
    await first

    assert await asyncio.gather(*waiting) == [set()] * BATCH_MAX, "each saw another's work on the disk: not one commit"
    db = sqlite3.connect(path)
    assert [name for (name,) in db.execute("SELECT name FROM things ORDER BY rowid")] == list(
        map(str, range(BATCH_MAX))
    )
    db.close()


async def test_the_log_begins_anew_however_much_is_written(writer: Writer, path: Path) -> None:
    log, page_bytes = path.with_name(path.name + "-wal"), 4096

    for number in range(300):  # Ten pages each and more; SQLite's own checkpoint comes after 1,000.
        await writer.run(add(f"{number:04}" * 10_000))

    assert log.stat().st_size < 1_500 * page_bytes


async def test_nobody_waits_for_ever_when_a_caller_has_left(writer: Writer, path: Path) -> None:
    left = writer.run(add("left"))
    left.cancel()

    await writer.run(add("stayed"))

    assert names(path) == {"left", "stayed"}


# --- a disk that fails ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def fsyncgate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of fsyncgate.c. Skips where there is no C compiler."""
    if (compiler := shutil.which("cc") or shutil.which("gcc")) is None:
        pytest.skip("no C compiler for a disk whose fsync fails")
    library = tmp_path_factory.mktemp("fsyncgate") / "fsyncgate.so"
    source = Path(__file__).with_name("fsyncgate.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


ON_A_FAILING_DISK = """
import asyncio, os, sys
from pathlib import Path
from app.errors import StoreUnavailable
from app.store.writer import Writer

path, damage = Path(sys.argv[1]), bool(sys.argv[2:])

async def add(name):
    await writer.run(lambda db: db.execute("INSERT INTO things VALUES (?)", (name,)))

async def main():
    global writer
    writer, fails = Writer(path), Path(os.environ["DISK_FAILS"])
    await add("before")
    fails.touch()
    outcomes = await asyncio.gather(*map(add, ["lost 1", "lost 2"]), return_exceptions=True)
    outcomes += await asyncio.gather(add("lost 3"), return_exceptions=True)
    fails.unlink()
    if damage:
        with path.open("r+b") as file:
            file.seek(2 * 4096)
            file.write(b"x" * 4096)
    outcomes += await asyncio.gather(add("after"), return_exceptions=True)
    print([type(outcome).__name__ for outcome in outcomes])
    sys.stdout.flush()
    os._exit(0)  # And the power is cut.

asyncio.run(main())
"""


@pytest.fixture
def on_a_failing_disk(fsyncgate: Path, path: Path, tmp_path: Path) -> Callable[..., tuple[str, list[str], Path]]:
    """Runs ON_A_FAILING_DISK: its log, its outcomes, and the database as the power cut left it."""
    db = sqlite3.connect(path)
    db.executemany("INSERT INTO things VALUES (?)", ((f"old {number}" * 10,) for number in range(500)))
    db.commit()
    db.close()
    left = tmp_path / "after a power cut"
    left.mkdir()
    shutil.copy(path, left)
    disk = {"DISK": path, "DISK_AFTER_POWER_CUT": left, "DISK_FAILS": tmp_path / "fails"}
    environment = {**os.environ, "LD_PRELOAD": str(fsyncgate), **{name: str(value) for name, value in disk.items()}}

    def run(*words: str) -> tuple[str, list[str], Path]:
        command = [sys.executable, "-c", ON_A_FAILING_DISK, str(path), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        log, _, outcomes = done.stdout.rstrip().rpartition("\n")
        return log, ast.literal_eval(outcomes), left / path.name

    return run


def test_what_is_acknowledged_after_a_failed_fsync_survives_a_power_cut(
    on_a_failing_disk: Callable[..., tuple[str, list[str], Path]],
) -> None:
    """The failed fsync leaves pages that count as clean and are not on the disk: commits that follow must not need them."""
    log, outcomes, left = on_a_failing_disk()

    assert outcomes == ["StoreUnavailable"] * 3 + ["NoneType"]
    assert {"before", "after"} <= names(left)
    assert log.index("the disk failed") < log.index("has been checked and is written to again")


def test_a_database_that_is_damaged_after_a_failed_fsync_is_not_written_to(
    on_a_failing_disk: Callable[..., tuple[str, list[str], Path]],
) -> None:
    log, outcomes, _ = on_a_failing_disk("damage")

    assert outcomes == ["StoreUnavailable"] * 4
    assert "restore a backup" in log
