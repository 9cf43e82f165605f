"""Keys as they are written and shown."""

from dataclasses import replace

import pytest

from app.store import keys, members, organization
from app.store.engine import Database
from app.store.keys import KeyConditions, KeyRecord, StoredKey
from app.store.organization import User
from app.store.pages import Cursor

KEY = StoredKey("key_a", "user-1", "proj_default", "laptop", b"\0\1", "wxyz", ("gpt-image-1",), 10, 20)


@pytest.fixture
async def owned(database: Database) -> Database:
    async with database.write() as connection:
        await organization.insert_user(connection, User("user-1", "lin", None, 1))
        await members.add(connection, "proj_default", "user-1", "member", 1)
    return database


async def test_a_key_is_shown_with_its_names_and_never_its_hmac(owned: Database) -> None:
    async with owned.write() as connection:
        await keys.insert_key(connection, KEY)
        found = await keys.find_key(connection, "key_a")

    assert found == KeyRecord(
        id="key_a",
        name="laptop",
        user_id="user-1",
        user="lin",
        project_id="proj_default",
        project="default",
        last_four="wxyz",
        models=("gpt-image-1",),
        created_at_ms=10,
        expires_at_ms=20,
        revoked_at_ms=None,
        previous_until_ms=None,
        last_used_at_ms=None,
        user_kind="person",
        user_email=None,
        user_created_at_ms=1,
        owner_disabled=False,
        owner_role="member",
        project_archived=False,
    )


async def test_no_list_of_models_is_not_an_empty_one(owned: Database) -> None:
    async with owned.write() as connection:
        await keys.insert_key(connection, replace(KEY, models=None, expires_at_ms=None))
        found = await keys.find_key(connection, "key_a")

    assert found is not None
    assert (found.models, found.expires_at_ms) == (None, None)


async def test_pages_of_keys_made_in_one_instant_are_the_whole_list(owned: Database) -> None:
    async with owned.write() as connection:
        for number in range(5):
            await keys.insert_key(connection, replace(KEY, id=f"key_{number}", created_at_ms=number // 3))
        pages = [await keys.page_of_all_keys(connection, Cursor(None, 2, descending=True), KeyConditions())]
        while pages[-1].has_more:
            cursor = Cursor(pages[-1].records[-1].id, 2, descending=True)
            pages.append(await keys.page_of_all_keys(connection, cursor, KeyConditions()))

    assert [len(page.records) for page in pages] == [2, 2, 1]
    ids = [key.id for page in pages for key in page.records]
    assert ids == ["key_4", "key_3", "key_2", "key_1", "key_0"]


async def test_the_first_revocation_stands(owned: Database) -> None:
    async with owned.write() as connection:
        await keys.insert_key(connection, KEY)
        await keys.revoke(connection, "key_a", 50)
        await keys.revoke(connection, "key_a", 60)
        found = await keys.find_key(connection, "key_a")

    assert found is not None
    assert found.revoked_at_ms == 50


async def test_a_status_says_why_a_key_does_not_work(owned: Database) -> None:
    async with owned.write() as connection:
        await keys.insert_key(connection, KEY)
        active = await keys.find_key(connection, "key_a")
        await organization.update_user(connection, "user-1", disabled_at_ms=5)
        orphan = await keys.find_key(connection, "key_a")
        await keys.revoke(connection, "key_a", 12)
        revoked = await keys.find_key(connection, "key_a")

    assert active is not None and orphan is not None and revoked is not None
    assert [active.status_at(19), active.status_at(20)] == ["active", "expired"]
    assert [orphan.status_at(19), revoked.status_at(21)] == ["owner disabled", "revoked"]
