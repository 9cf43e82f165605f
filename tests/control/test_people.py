"""Projects and users."""

import asyncio

import pytest

from app.control import people, projects
from app.control.names import checked_name
from app.errors import Conflict, InvalidValue, NotFound
from app.store.engine import Database
from app.store.organization import list_users, page_of_projects
from app.store.pages import Cursor
from tests.administration import disable_user, enable_user
from tests.databases import revision


async def test_a_user_is_created_and_listed(database: Database) -> None:
    created = await people.create_user(database, "lin", "lin@example.com")

    assert created.id.startswith("user-")
    assert await database.ask(list_users) == [created]


async def test_every_write_raises_the_revision_and_reading_does_not(database: Database) -> None:
    before = await revision(database)
    await people.create_user(database, "lin")
    await disable_user(database, "lin")
    await projects.create_project(database, "red")
    await database.ask(list_users)
    await database.ask(page_of_projects, Cursor())

    assert await revision(database) == before + 3


async def test_of_many_users_of_one_name_one_is_made(database: Database) -> None:
    outcomes = await asyncio.gather(*(people.create_user(database, "lin") for _ in range(10)), return_exceptions=True)

    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 9
    assert len(await database.ask(list_users)) == 1


async def test_a_refused_write_leaves_no_trace(database: Database) -> None:
    await projects.create_project(database, "red")
    before = await revision(database)

    with pytest.raises(Conflict, match="'red' already"):
        await projects.create_project(database, "red")
    assert await revision(database) == before


@pytest.mark.parametrize("name", ["locked", "disk full"])
async def test_a_taken_name_is_a_conflict_also_when_it_reads_like_a_fault_of_the_database(
    database: Database, name: str
) -> None:
    await people.create_user(database, name)

    with pytest.raises(Conflict):
        await people.create_user(database, name)


async def test_disabling_twice_keeps_the_first_instant_and_enabling_ends_it(database: Database) -> None:
    user = await people.create_user(database, "lin")
    first = await disable_user(database, "lin")
    second = await disable_user(database, user.id)
    enabled = await enable_user(database, "lin")

    assert first.disabled_at_ms is not None
    assert second == first
    assert enabled == user


async def test_somebody_unknown_is_not_found(database: Database) -> None:
    for change in (disable_user, enable_user):
        with pytest.raises(NotFound, match="no user 'bo'"):
            await change(database, "bo")


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x" * 65,
        "a\nb",
        "a\x1b[31mb",
        "\u202eabc",
        "tab\there",
        " lin",
        "lin ",
        "user-1",
        "proj_x",
        "key_a",
        "KEY_A",
    ],
)
async def test_a_name_that_cannot_be_is_refused_by_field(database: Database, name: str) -> None:
    for create in (people.create_user, projects.create_project):
        with pytest.raises(InvalidValue) as refused:
            await create(database, name)
        assert refused.value.param == "name"
        assert refused.value.message.isprintable()


async def test_one_name_in_several_encodings_is_one_name(database: Database) -> None:
    user = await people.create_user(database, "Zoe\u0308 李")

    project = await projects.create_project(database, "Cafe\u0301")
    async with database.read() as connection:
        for name in ("Zo\u00eb 李", "Zoe\u0308 李", "Ｚoë\u3000李"):
            assert (await people.get_user(connection, name)).id == user.id
            assert await people.user_ids_of(connection, name) == [user.id]
        for name in ("Caf\u00e9", "Cafe\u0301", "Ｃafé"):
            assert (await projects.get_project(connection, name)).id == project.id
    with pytest.raises(Conflict):
        await people.create_user(database, "Zo\u00eb 李")


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("email", ["", "lin", "@x", "lin@", "a@b@c", "a b@c", "a@b\n", "x" * 250 + "@b.de"])
async def test_an_email_that_cannot_be_is_refused(database: Database, email: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        await people.create_user(database, "lin", email)
    assert refused.value.param == "email"


@pytest.mark.parametrize("text", ["ada\u3164", "a\u200bda", "ada\ufe0f", "\u2800ada", "\u115f"])
def test_a_name_with_invisible_characters_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        checked_name(text)


def test_full_width_letters_make_no_second_name() -> None:
    assert checked_name("Ａｄａ") == "Ada"
