"""Revocations that are noted outside the database, and hold in one from before them."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.control.admin_keys import NewAdminKey, create_admin_key, revoke_admin_key
from app.control.erasure import begin_erasure
from app.control.keys import get_key, rotate_key
from app.control.people import create_user, show_user
from app.control.projects import archive_project, create_project, get_project
from app.control.revocations import apply_revocations
from app.errors import NotFound
from app.store.engine import SQLITE_FILE, Database, DatabaseUrl, open_database
from app.store.journal import FILE, Journal, read_journals
from app.store.organization import find_user
from tests.administration import PEPPER, create_key, disable_user, enable_user, list_keys, revoke_key


@pytest.fixture
async def database(sqlite_database: Database, tmp_path: Path) -> Database:
    """A database whose revocations are noted in two folders, one of which is not there."""
    return replace(sqlite_database, journal=Journal.of(tmp_path, None, tmp_path / "absent"))


@pytest.fixture
async def before(database: Database, tmp_path: Path) -> AsyncIterator[Database]:
    """The same database as it was before; made when a test asks for it the second time, by `copied`."""
    (tmp_path / "before").mkdir()
    opened = open_database(DatabaseUrl.of(None, tmp_path / "before"))
    yield opened
    await opened.close()


async def copied(database: Database, before: Database) -> None:
    async with database.read() as connection:
        await connection.exec_driver_sql("COMMIT")
        await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        await connection.exec_driver_sql("BEGIN")
    assert database.where.path is not None and before.where.path is not None
    shutil.copy(database.where.path, before.where.path.parent / SQLITE_FILE)


async def test_what_was_taken_away_since_is_taken_away_again(
    database: Database, before: Database, tmp_path: Path
) -> None:
    for name in ("lin", "mei", "bo", "an"):
        await create_user(database, name)
    project = await create_project(database, "web")
    revoked, rotated, kept = [await create_key(database, "lin") for _ in range(3)]
    admin = await create_admin_key(database, PEPPER, NewAdminKey("ci"))
    await copied(database, before)
    await revoke_key(database, revoked.id)
    await rotate_key(database, PEPPER, rotated.id, 0)
    await revoke_admin_key(database, admin.id)
    await archive_project(database, project.id)
    await disable_user(database, "mei")
    await disable_user(database, "bo")
    await enable_user(database, "bo")
    an, _ = await show_user(database, "an")
    async with database.write() as connection:
        await begin_erasure(connection, an.id, await database.now_ms())

    noted = read_journals([tmp_path / FILE, tmp_path / FILE, tmp_path / "absent" / FILE], 0)
    first = await apply_revocations(before, noted)
    second = await apply_revocations(before, noted)

    assert (first[1], second) == ([], (2, [])), "only bo was disabled and enabled again"
    stands = {key.id: key.revoked_at_ms is None for key in await list_keys(before)}
    assert stands == {revoked.id: False, rotated.id: False, kept.id: True}
    with pytest.raises(NotFound):
        await revoke_admin_key(before, admin.id)
    async with before.read() as connection:
        assert (await get_project(connection, "web")).archived_at_ms is not None
        gone = await find_user(connection, an.id)
    assert gone is not None and gone.erased_at_ms is not None and gone.deleted_at_ms is not None
    disabled = [(await show_user(before, name))[0].disabled_at_ms is not None for name in ("lin", "mei", "bo")]
    assert disabled == [False, True, False]
    assert (await database.ask(get_key, kept.id)).revoked_at_ms is None
    assert "lin" not in (tmp_path / FILE).read_text() and (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_crash_has_cut_is_left_out(tmp_path: Path) -> None:
    line = '{"event": "api_key.deleted", "target_id": "key_1", "project_id": null, "values": {}, "at_ms": %s}\n'
    (tmp_path / FILE).write_text(line % 5 + line % 7 + (line % 9)[:30])

    assert [each.at_ms for each in read_journals([tmp_path / FILE], 6)] == [7]
