"""What is known of keys and prices, and how soon a change is."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.control.people import create_user
from app.control.projects import create_project
from app.errors import StoreUnavailable
from app.store.control_data import ControlData
from app.store.engine import Database, DatabaseUrl, open_database
from tests.administration import create_key, disable_user, revoke_key
from tests.gateways import new_key, set_limit


async def test_a_grant_carries_the_limits_of_its_four_scopes_narrowest_first(database: Database) -> None:
    await create_project(database, "web")
    key = await new_key(database, "lin", project="web")
    await set_limit(database, "organization", "", "micros", "month", 900_000_000)
    await set_limit(database, "project", "web", "images", "day", 50)
    await set_limit(database, "user", "lin", "requests", "minute", 10)
    await set_limit(database, "key", key.id, "in_flight", "lifetime", 2)
    await new_key(database, "somebody else")
    await set_limit(database, "user", "somebody else", "micros", "day", 10_000_000)

    grant = await ControlData(database).grant(key.id)

    assert grant is not None
    assert [(limit.scope, limit.owner, limit.unit, limit.amount) for limit in grant.limits] == [
        ("key", grant.key_name, "in_flight", 2),
        ("user", "lin", "requests", 10),
        ("project", "web", "images", 50),
        ("organization", "", "micros", 900_000_000),
    ]
    assert (grant.user_name, grant.project_name) == ("lin", "web")


async def test_an_unknown_key_has_no_grant_until_it_is_made(database: Database) -> None:
    control_data = ControlData(database)
    assert await control_data.grant("key_unknown00000") is None

    key = await new_key(database)
    control_data.expire()

    assert await control_data.grant(key.id) is not None


async def test_a_removed_limit_is_gone(database: Database) -> None:
    key = await new_key(database)
    await set_limit(database, "user", "lin", "micros", "month", 10_000_000)
    await set_limit(database, "user", "lin", "micros", "month", None)

    grant = await ControlData(database).grant(key.id)

    assert grant is not None
    assert grant.limits == ()


async def test_a_change_is_seen_as_soon_as_the_revision_is_read_again(database: Database) -> None:
    key, control_data = await new_key(database), ControlData(database)
    before = await control_data.grant(key.id)
    await revoke_key(database, key.id)
    cached = await control_data.grant(key.id)
    control_data.expire()
    after = await control_data.grant(key.id)

    assert before is not None
    assert cached == before, "within half a second the answer comes from memory"
    assert after is not None
    assert after.revoked
    assert after.revision > before.revision


async def test_a_disabled_owner_makes_the_key_unusable(database: Database) -> None:
    key, control_data = await new_key(database), ControlData(database)
    await disable_user(database, "lin")

    grant = await control_data.grant(key.id)

    assert grant is not None
    assert not grant.usable_at(0)


async def test_a_database_that_is_not_there_refuses_instead_of_guessing(tmp_path: Path) -> None:
    away = open_database(DatabaseUrl("postgresql", url="postgresql://nobody@127.0.0.1:1/none"))

    with pytest.raises(StoreUnavailable):
        await ControlData(away).grant("key_0")

    await away.close()


async def test_those_who_ask_at_once_are_answered_by_one_reading(database: Database) -> None:
    key = await new_key(database, "lin")
    control_data = ControlData(database)
    await control_data.catalog()
    statements = statements_of(database)

    grants = await asyncio.gather(*(control_data.grant(key.id) for _ in range(50)))

    assert {grant.key_id for grant in grants if grant} == {key.id}
    assert len(statements) < 10


async def test_a_key_that_was_made_just_now_is_found_after_a_guess(database: Database) -> None:
    control_data = ControlData(database)
    assert await control_data.grant("key_guessed") is None

    key = await new_key(database)

    assert await control_data.grant(key.id) is not None


async def test_guessed_ids_cost_hardly_any_reading(database: Database) -> None:
    key, control_data = await new_key(database), ControlData(database)
    await control_data.grant("key_guessed")
    statements = statements_of(database)

    guesses = [control_data.grant(f"key_guessed{number}") for number in range(500)]
    *guessed, real = await asyncio.gather(*guesses, control_data.grant(key.id))

    assert set(guessed) == {None}
    assert real is not None
    assert len(statements) < 10


async def test_every_control_write_raises_the_revision_once(database: Database) -> None:
    control_data = ControlData(database)
    key = await new_key(database)
    first = await control_data.grant(key.id)
    await create_user(database, "mei")
    await create_key(database, "mei")
    control_data.expire()
    second = await control_data.grant(key.id)

    assert first is not None
    assert second is not None
    assert second.revision == first.revision + 2


def statements_of(database: Database) -> list[str]:
    """Collect the statements that the database runs from now on."""
    statements: list[str] = []
    sa.event.listen(
        database.engine.sync_engine,
        "before_cursor_execute",
        lambda _, __, statement, *___: statements.append(statement),
    )
    return statements
