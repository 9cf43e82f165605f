"""Errors of the drivers, told apart by code or class, and what a cancelled reader leaves."""

import asyncio
import gc
import shutil
import sqlite3
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.errors import StorageFull, StoreUnavailable
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.erasure import ErasureRows
from app.store.writer import Writer


@pytest.mark.parametrize("column", ["locked", "interfaceerror", '"disk full"'])
async def test_a_wrong_statement_is_no_outage_whatever_its_text_sounds_like(database: Database, column: str) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as connection:
            await connection.execute(sa.text(f"SELECT organization.{column} FROM organization"))  # noqa: S608


async def test_a_broken_constraint_is_no_outage(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(sa.text("UPDATE organization SET id = 2"))


async def test_a_full_sqlite_is_storage_full_and_a_locked_one_unavailable(sqlite_database: Database) -> None:
    with pytest.raises(StorageFull):
        async with sqlite_database.transaction() as connection:
            pages = (await connection.execute(sa.text("PRAGMA page_count"))).scalar_one()
            await connection.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
            await connection.execute(sa.text("CREATE TABLE more AS SELECT randomblob(1000000)"))
    other = sqlite3.connect(str(sqlite_database.where.path), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable):
        async with sqlite_database.read() as connection:
            await connection.execute(sa.text("PRAGMA busy_timeout = 0"))
            await connection.execute(sa.text("UPDATE organization SET revision = 0"))
    other.close()


@pytest.mark.parametrize("folder", ["50%20off", "what?", "number #1"])
async def test_the_path_of_a_database_may_hold_what_means_something_in_a_url(
    sqlite_template: Path, tmp_path: Path, folder: str
) -> None:
    (tmp_path / folder).mkdir()
    where = DatabaseUrl.of(None, Path(shutil.copy(sqlite_template, tmp_path / folder)).parent)
    assert where.path is not None
    database, writer = open_database(where), Writer(where.path)
    try:
        await writer.run(lambda db: db.execute("UPDATE organization SET revision = 7"))
        async with database.read() as connection:
            assert (await connection.execute(sa.text("SELECT revision FROM organization"))).scalar_one() == 7
    finally:
        await writer.close()
        await database.close()


async def test_a_reader_that_is_cancelled_leaves_no_snapshot_that_keeps_the_log(tmp_path: Path) -> None:
    database = open_database(DatabaseUrl.of(None, tmp_path))
    async with database.transaction() as connection:
        await connection.execute(sa.text("CREATE TABLE numbers (number INTEGER)"))
        await connection.execute(sa.text("INSERT INTO numbers VALUES (1)"))

    async def read() -> None:
        async with database.read() as connection:
            for _ in range(3):
                await connection.execute(sa.text("SELECT number FROM numbers"))

    gc.disable()  # A collection would end the snapshots of lost cursors.
    try:
        for number in range(60):
            reader = asyncio.create_task(read())
            await asyncio.sleep(number / 10_000)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            async with database.transaction() as connection:
                await connection.execute(sa.text("UPDATE numbers SET number = number + 1"))
            assert await ErasureRows(database, "nobody").overwrite()
    finally:
        gc.enable()
        await database.close()


async def test_a_connection_that_is_made_when_its_reader_is_cancelled_goes_to_the_next_one(
    sqlite_database: Database,
) -> None:
    async def read() -> None:
        async with sqlite_database.read():
            pass

    await read()
    await sqlite_database.close()  # So that the next reader makes a connection.
    reader = asyncio.create_task(read())
    made: list[object] = []

    def cancel(connection: object, _record: object) -> None:
        made.append(connection)
        reader.cancel()

    sa.event.listen(sqlite_database.engine.sync_engine, "connect", cancel, insert=True)
    with pytest.raises(asyncio.CancelledError):
        await reader
    await read()

    assert len(made) == 1


async def test_a_file_that_is_no_database_is_not_left_open(tmp_path: Path) -> None:
    (tmp_path / "imagegate.db").write_bytes(b"no database at all" * 1000)
    database = open_database(DatabaseUrl.of(None, tmp_path))
    process = psutil.Process()
    gc.disable()  # A collection would close what was forgotten.
    try:
        for _ in range(3):
            with pytest.raises(DBAPIError):
                async with database.read():
                    pass
        assert [file.path for file in process.open_files() if file.path.startswith(str(tmp_path))] == []
    finally:
        gc.enable()
        await database.close()
