"""Group commit: what was acknowledged is on the disk, and one broken piece of work spoils no other."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.errors import StoreUnavailable
from app.store.writer import Writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "book.db"
    with sqlite3.connect(path) as db:
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


async def test_a_locked_database_is_unavailable_and_changes_nothing(writer: Writer, path: Path) -> None:
    await writer.run(lambda db: db.execute("PRAGMA busy_timeout = 50"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreUnavailable):
        await writer.run(add("one"))
    other.execute("ROLLBACK")
    await writer.run(add("two"))

    assert names(path) == {"two"}
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
