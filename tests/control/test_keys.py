"""API keys: made once, shown once, revoked for good."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control import keys, people, projects
from app.core.keys import key_id, matches
from app.errors import Conflict, InvalidValue, NotFound
from app.store.engine import Database
from app.store.tables import api_keys
from app.store.tables import projects as projects_table
from tests.administration import create_key, disable_user, list_keys

PEPPER = b"0123456789abcdef" * 2
ZONE = ZoneInfo("Asia/Shanghai")
DAY_MS = 86_400_000


@pytest.fixture
async def lin(database: Database) -> Database:
    await people.create_user(database, "lin")
    return database


async def create(database: Database, **given: Any) -> keys.CreatedKey:
    return await create_key(database, pepper=PEPPER, **given)


async def test_of_a_key_only_its_hmac_is_stored(lin: Database) -> None:
    created = await create(lin)

    async with lin.read() as connection:
        stored = (await connection.execute(sa.select(api_keys))).mappings().one()
    assert key_id(created.key) == created.id == stored["id"]
    assert matches(PEPPER, created.key, stored["secret_hmac"])
    assert not any(created.key in str(value) for value in stored.values())


async def test_a_key_is_shown_with_what_it_may(lin: Database) -> None:
    red = await projects.create_project(lin, "red")
    created = await create(
        lin, project="red", name="laptop", models=["imagen4", "gpt-image-1", "imagen4"], expires_in_s=2 * 86_400
    )

    shown = await lin.ask(keys.get_key, created.id)

    assert (shown.name, shown.user, shown.project, shown.project_id) == ("laptop", "lin", "red", red.id)
    assert shown.models == ("imagen4", "gpt-image-1")
    assert shown.expires_at_ms == shown.created_at_ms + 2 * DAY_MS
    assert await list_keys(lin) == [shown]


async def test_unless_said_otherwise_a_key_never_expires_and_may_use_every_model(lin: Database) -> None:
    shown = await lin.ask(keys.get_key, (await create(lin)).id)

    assert (shown.expires_at_ms, shown.models, shown.project, shown.name) == (None, None, "default", "lin")


@pytest.mark.parametrize("models", [["nope"], ["gpt-image-1", "nope"], []])
async def test_models_must_be_of_the_catalog(lin: Database, models: list[str]) -> None:
    with pytest.raises(InvalidValue, match="gpt-image-1") as refused:
        await create(lin, models=models)
    assert refused.value.param == "models"


async def test_nobody_gets_a_key_for_a_disabled_user(lin: Database) -> None:
    await disable_user(lin, "lin")

    with pytest.raises(Conflict, match="users enable"):
        await create(lin)


async def test_nobody_gets_a_key_in_an_archived_project(lin: Database) -> None:
    async with lin.write() as connection:
        await connection.execute(sa.update(projects_table).values(archived_at_ms=1))

    with pytest.raises(Conflict, match="archived"):
        await create(lin)


async def test_what_is_unknown_is_not_found(lin: Database) -> None:
    for given in ({"user": "bo"}, {"project": "red"}):
        with pytest.raises(NotFound):
            await create(lin, **given)
    with pytest.raises(NotFound):
        await lin.ask(keys.get_key, "key_nope")


async def test_a_secret_given_for_an_id_is_not_repeated(lin: Database) -> None:
    created = await create(lin)

    with pytest.raises(NotFound) as refused:
        await lin.ask(keys.get_key, created.key)
    assert created.key not in refused.value.message
