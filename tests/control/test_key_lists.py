"""Lists of keys by owner, project, status and last use."""

from typing import get_args

import pytest

from app.control import people, projects
from app.control.keys import KeyFilter, page_of_keys
from app.control.members import remove_member
from app.control.service_accounts import NewServiceAccount, create_service_account
from app.errors import NotFound
from app.store.engine import Database
from app.store.keys import KeyStatus
from app.store.pages import Cursor
from app.store.tables import api_keys
from tests.administration import PEPPER, create_key, disable_user, revoke_key
from tests.databases import insert_request


async def names(database: Database, **wanted: object) -> set[str]:
    return {key.name for key in (await page_of_keys(database, Cursor(limit=100), KeyFilter(**wanted))).records}  # type: ignore[arg-type]


@pytest.fixture
async def keys(database: Database) -> dict[str, str]:
    """Ids by name: a key with each status, all with that name."""
    now_ms = await database.now_ms()
    for name in ("lin", "eve", "al"):
        await people.create_user(database, name, f"{name}@example.com")
    for name in ("red", "past"):
        await projects.create_project(database, name)
    made = {
        "active": await create_key(database, name="active"),
        "revoked": await create_key(database, name="revoked"),
        "expired": await create_key(database, name="expired", project="red"),
        "owner disabled": await create_key(database, "eve", name="owner disabled"),
        "owner not in project": await create_key(database, "al", name="owner not in project"),
        "project archived": await create_key(database, name="project archived", project="past"),
    }
    await revoke_key(database, made["revoked"].id)
    await disable_user(database, "eve")
    await projects.archive_project(database, "past")
    al = (await people.show_user(database, "al"))[0]
    await remove_member(database, "default", al.id)
    async with database.write() as connection:
        own = api_keys.c.id == made["expired"].id
        await connection.execute(api_keys.update().where(own).values(expires_at_ms=now_ms))
    return {name: key.id for name, key in made.items()}


async def test_each_status_selects_the_keys_that_show_it(database: Database, keys: dict[str, str]) -> None:
    for status in get_args(KeyStatus):
        page = await page_of_keys(database, Cursor(limit=100), KeyFilter(status=status))
        assert [key.id for key in page.records] == [keys[status]], status
        assert page.records[0].status_at(await database.now_ms()) == status


async def test_keys_are_found_by_owner_and_project(database: Database, keys: dict[str, str]) -> None:
    await create_service_account(database, PEPPER, "red", NewServiceAccount("ci"))

    assert await names(database, user="eve") == {"owner disabled"} == await names(database, user="EVE@example.com")
    assert await names(database, project="red") == {"expired", "ci"}
    assert await names(database, user="ci") == {"ci"}
    assert await names(database, user="lin", project="past") == {"project archived"}
    for nobody in ({"user": "nobody"}, {"project": "nowhere"}):
        with pytest.raises(NotFound):
            await names(database, **nobody)


async def test_a_key_is_unused_since_an_instant_when_it_was_there_and_nothing_was_requested(
    database: Database, keys: dict[str, str]
) -> None:
    now_ms = await database.now_ms()
    await insert_request(database, "user-1", keys["active"], reserved_at_ms=now_ms)
    await insert_request(database, "user-1", keys["expired"], reserved_at_ms=now_ms - 1, id="req_2")

    assert await names(database, unused_since_ms=now_ms) == {*keys} - {"active"}
    assert await names(database, unused_since_ms=now_ms - 1) <= {*keys} - {"active", "expired"}
    assert await names(database, unused_since_ms=5) == set()


async def test_pages_of_a_filtered_list_are_the_whole_list(database: Database, keys: dict[str, str]) -> None:
    first = await page_of_keys(database, Cursor(limit=2), KeyFilter(user="lin"))
    second = await page_of_keys(database, Cursor(first.records[-1].id, 2), KeyFilter(user="lin"))

    assert (first.has_more, second.has_more) == (True, False)
    assert [key.name for page in (first, second) for key in page.records] == [
        "active",
        "revoked",
        "expired",
        "project archived",
    ]
