"""Upgrades of SQLite's schema, which leave the database as it was beside it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command

from app.control.upgrade import upgrade_with_copy
from app.errors import ConfigurationError
from app.store import migrations
from app.store.engine import SQLITE_FILE, Database, DatabaseUrl, open_database


async def old_database(folder: Path) -> Database:
    database = open_database(DatabaseUrl.of(None, folder))
    async with database.rebuild() as connection:
        await connection.run_sync(lambda sync: command.upgrade(migrations._config(connection=sync), "0027"))
    return database


async def test_the_database_is_copied_before_its_upgrade_and_older_copies_go(tmp_path: Path) -> None:
    database = await old_database(tmp_path)
    (tmp_path / "imagegate-0021.db").touch()

    state, copy = await upgrade_with_copy(database)

    assert state.up_to_date and copy == tmp_path / "imagegate-0027.db"
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchall() == [("0027",)]
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(
        path.name for path in tmp_path.glob("*.db*") if "-wal" not in path.name and "-shm" not in path.name
    ) == [
        "imagegate-0027.db",
        SQLITE_FILE,
    ]
    assert await upgrade_with_copy(database) == (state, None)
    await database.close()


async def test_a_new_database_needs_no_copy(tmp_path: Path) -> None:
    database = open_database(DatabaseUrl.of(None, tmp_path))

    state, copy = await upgrade_with_copy(database)

    assert state.up_to_date and copy is None
    await database.close()


async def test_without_room_for_the_copy_nothing_is_upgraded(tmp_path: Path) -> None:
    database = await old_database(tmp_path)
    (tmp_path / "imagegate-0027.db").mkdir()

    with pytest.raises(ConfigurationError, match="stays as it is"):
        await upgrade_with_copy(database)

    async with database.read() as connection:
        found = await connection.exec_driver_sql("SELECT version_num FROM alembic_version")
        assert found.scalar_one() == "0027"
    await database.close()
