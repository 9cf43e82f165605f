"""Purchases in the console: bought once, with the person's own key there, inside the same limits as by the API."""

import asyncio

import pytest

from app.control.console_keys import console_key, grant_in_project
from app.control.keys import rotate_key, show_key
from app.control.project_keys import delete_project_key, move_project_key
from app.errors import Conflict, NotFound
from tests.administration import PEPPER
from tests.console.conftest import House

DEFAULT = "proj_default"


async def test_a_console_key_is_made_once_and_authenticates_nobody(house: House) -> None:
    database, mia = house.running.database, house.users["mia"]
    assert (await grant_in_project(database, mia, DEFAULT)).key_id == ""

    ids = await asyncio.gather(*(console_key(database, mia, DEFAULT) for _ in range(5)))

    assert len({*ids}) == 1
    key = await show_key(database, ids[0])
    assert (key.name, key.last_four, key.has_secret) == ("Console", "", False)
    short = ids[0].removeprefix("key_")
    for secret in (ids[0], f"sk-ig-{short}-", f"sk-ig-{short}--"):
        answer = await house.http.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
        assert answer.status_code == 401
    for change in (
        rotate_key(database, PEPPER, key.id, 0),
        move_project_key(database, DEFAULT, key.id, None, house.users["max"]),
        delete_project_key(database, DEFAULT, key.id),
    ):
        with pytest.raises(Conflict, match="stands for what 'mia' buys in the console"):
            await change


async def test_nobody_has_a_console_key_in_a_project_that_is_not_theirs(house: House) -> None:
    database = house.running.database
    posters = (await show_key(database, house.keys["posters"].id)).project_id
    for who, project in (("max", posters), ("mia", "proj_nothing")):
        with pytest.raises(NotFound, match="nothing was bought"):
            await console_key(database, house.users[who], project)
