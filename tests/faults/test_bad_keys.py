"""Keys that are refused, and models that a key may not use: no call to the relay, no row, no money."""

from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.control.keys import CreatedKey
from app.core.keys import new_key as key_of_form
from app.store.tables import api_keys
from tests.administration import disable_user, enable_user, revoke_key
from tests.faults.door import BODY, Door, assert_refused
from tests.money.books import GENERATIONS, ask, opened

BAD_KEYS = {
    "no header": ("X-Nothing", ""),
    "empty": ("Authorization", ""),
    "bearer alone": ("Authorization", "Bearer"),
    "basic": ("Authorization", "Basic {key}"),
    "no scheme": ("Authorization", "{key}"),
    "two words": ("Authorization", "Bearer {key} {key}"),
    "a tab": ("Authorization", "Bearer\t{key}"),
    "quoted": ("Authorization", 'Bearer "{key}"'),
    "4 KB": ("Authorization", "Bearer " + "a" * 4096),
    "not latin": ("Authorization", "Bearer 图ÿ"),
    "x-api-key": ("x-api-key", "{key}"),
    "api-key": ("api-key", "{key}"),
    "in a cookie": ("Cookie", "api_key={key}"),
    "sql": ("Authorization", "Bearer sk-ig-' OR 1=1 --"),
    "unknown": ("Authorization", "Bearer {another}"),
    "a typo": ("Authorization", "Bearer {key}a"),
    "cut": ("Authorization", "Bearer {key:.50}"),
    "id of one, secret of another": ("Authorization", "Bearer {mixed}"),
}


def bad_header(given: str, key: str) -> dict[str, bytes]:
    name, value = BAD_KEYS[given]
    another = key_of_form().secret
    return {name: value.format(key=key, another=another, mixed=key[:18] + another[18:]).encode()}


@pytest.mark.parametrize("given", BAD_KEYS)
@pytest.mark.parametrize("path", [GENERATIONS, "/v1/models"])
async def test_whatever_is_not_a_bearer_of_a_known_key_is_401(door: Door, given: str, path: str) -> None:
    headers: Any = bad_header(given, door.key.key)

    async with door.untouched(), opened(door.running.url) as client:
        if path == GENERATIONS:
            answer = await client.post(path, content=BODY, headers=headers | {"Content-Type": b"application/json"})
        else:
            answer = await client.get(path, headers=headers)

    assert_refused(answer, 401, "invalid_api_key")
    assert door.key.key not in answer.text


@pytest.mark.parametrize("name", ["api_key", "key", "access_token", "token"])
async def test_a_key_in_the_address_authenticates_nobody(door: Door, name: str) -> None:
    async with door.untouched(), opened(door.running.url) as client:
        answer = await client.get("/v1/models", params={name: door.key.key})

    assert_refused(answer, 401, "invalid_api_key")


async def test_two_authorization_headers_are_none(door: Door) -> None:
    line = f"Authorization: Bearer {door.key.key}\r\n"

    async with door.untouched():
        answer = await door.talk(
            f"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line}{line}\r\n".encode()
        )

    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_the_scheme_is_read_in_any_case(door: Door, scheme: str) -> None:
    async with opened(door.running.url) as client:
        answer = await client.get("/v1/models", headers={"Authorization": f"{scheme} {door.key.key}"})

    assert answer.status_code == 200


async def test_a_bad_key_is_refused_before_its_body_is_asked_for(door: Door) -> None:
    head = "POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n"

    async with door.untouched():
        waiting = await door.talk(f"{head}Expect: 100-continue\r\nAuthorization: Bearer nobody\r\n\r\n".encode())
        sending = await door.talk(f"{head}\r\n".encode(), b"x" * 1000)

    for answer in (waiting, sending):
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"invalid_api_key" in answer
        assert b"100 Continue" not in answer


async def test_keys_end_at_once_when_they_are_revoked_expire_or_lose_their_owner(door: Door) -> None:
    running, database = door.running, door.running.database
    revoked, orphaned = await running.key("mei"), await running.key("bo")
    expiring = await running.key("an", expires_in_s=43_200)
    async with opened(running.url) as client:
        for key in (revoked, orphaned, expiring):
            assert (await ask_as(client, key)).status_code == 200
        await revoke_key(database, revoked.id)
        await disable_user(database, "bo")
        async with database.write() as connection:
            gone = sa.update(api_keys).where(api_keys.c.id == expiring.id).values(expires_at_ms=await database.now_ms())
            await connection.execute(gone)

        async with door.untouched():
            answers = [await ask_as(client, key) for key in (revoked, orphaned, expiring)]
        await enable_user(database, "bo")
        running.gateway.control_data.expire()  # Who was refused may be refused for half a second more.
        back = await ask_as(client, orphaned)

    for answer in answers:
        assert_refused(answer, 401, "invalid_api_key")
    assert back.status_code == 200


async def test_a_key_revoked_this_instant_buys_nothing(door: Door) -> None:
    """Within the half second for which keys are remembered: the reservation asks again."""
    key = await door.running.key("qi")
    async with opened(door.running.url) as client:
        assert (await ask_as(client, key)).status_code == 200
        await revoke_key(door.running.database, key.id)
        async with door.untouched():
            answer = await ask_as(client, key)

    assert_refused(answer, 401, "invalid_api_key")


async def ask_as(client: httpx2.AsyncClient, key: CreatedKey) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key.key}"}
    return await client.post(GENERATIONS, json={"model": "gpt-image-1", "prompt": "a cat"}, headers=headers)


async def test_a_model_the_key_may_not_use_is_403_and_not_listed(door: Door) -> None:
    key = await door.running.key("lin", models=["seedream-3.0"])

    async with door.untouched(), opened(door.running.url, key.key) as client:
        answer = await ask(client)
        listed = await client.get("/v1/models")
        shown = await client.get("/v1/models/gpt-image-1")

    assert_refused(answer, 403, "model_not_allowed")
    assert answer.json()["error"]["param"] == "model"
    assert [model["id"] for model in listed.json()["data"]] == ["seedream-3.0"]
    assert_refused(shown, 404, "model_not_found")


async def test_the_catalog_lists_what_has_a_price_and_asks_nobody(door: Door) -> None:
    async with door.untouched(), opened(door.running.url, door.key.key) as client:
        for path in ("/v1/models", "/models"):
            answer = await client.get(path)
            models = [model["id"] for model in answer.json()["data"]]
            priced = ["flux-kontext-max", "flux-kontext-pro", "gpt-image-1", "seedream-3.0"]
            assert sorted(models) == ["dall-e-2", "dall-e-3", *priced]
        assert (await client.get("/v1/models/gpt-image-1")).json()["object"] == "model"
        assert_refused(await client.get("/v1/models/imagen4"), 404, "model_not_found")
