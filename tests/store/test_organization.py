"""Projects, users and what the installation is bound to."""

import pytest
from sqlalchemy.exc import IntegrityError

from app.store import organization
from app.store.engine import Database
from app.store.organization import BookBinding, Project, User
from app.store.pages import Cursor

LIN = User("user-1", "lin", "lin@example.com", 5)


async def test_a_fresh_database_has_the_default_project_and_nobody(database: Database) -> None:
    async with database.read() as connection:
        found = (await organization.page_of_projects(connection, Cursor(), include_archived=True)).records
        nobody = not await organization.any_user(connection)

    assert [(project.id, project.name) for project in found] == [("proj_default", "default")]
    assert nobody


async def test_a_claim_stays_whatever_comes_later(database: Database) -> None:
    async with database.write() as connection:
        await organization.bind_book(connection, "first", "CNY", "UTC")
    async with database.write() as connection:
        await organization.bind_book(connection, "second", "USD", "Asia/Shanghai")

    found = await database.ask(organization.book_binding)
    assert found == BookBinding(3, pepper_fingerprint="first", currency="CNY", timezone="UTC", digest_key=None)


async def test_a_user_is_found_by_id_and_by_name(database: Database) -> None:
    async with database.write() as connection:
        await organization.insert_user(connection, LIN)

    async with database.read() as connection:
        found = [await organization.find_user(connection, word) for word in ("user-1", "lin", "Lin", "")]
    assert found == [LIN, LIN, None, None]


async def test_a_project_is_found_by_id_and_by_name(database: Database) -> None:
    red = Project("proj_1", "red", 5)
    async with database.write() as connection:
        await organization.insert_project(connection, red)

    async with database.read() as connection:
        found = [await organization.find_project(connection, word) for word in ("proj_1", "red", "blue")]
    assert found == [red, red, None]


async def test_a_name_is_taken_once(database: Database) -> None:
    async with database.write() as connection:
        await organization.insert_user(connection, LIN)

    with pytest.raises(IntegrityError):
        async with database.write() as connection:
            await organization.insert_user(connection, User("user-2", "lin", None, 6))


async def test_users_come_by_name_with_their_disabling(database: Database) -> None:
    async with database.write() as connection:
        await organization.insert_user(connection, LIN)
        await organization.insert_user(connection, User("user-2", "bo", None, 6))
        await organization.update_user(connection, "user-1", disabled_at_ms=77)

    found = await database.ask(organization.list_users)
    assert [(user.name, user.disabled_at_ms) for user in found] == [("bo", None), ("lin", 77)]
