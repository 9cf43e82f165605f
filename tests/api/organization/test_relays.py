"""Relays, added and changed by administrators while the gateway runs."""

import json
from typing import Any

import sqlalchemy as sa

from app.control.relays import KEY_KEPT_MS, forget_removed_keys
from app.store.tables import relays, requests
from tests.administration import create_key
from tests.api.organization.conftest import Office
from tests.databases import insert_request, postgres_with_all
from tests.gateways import PEPPER, RELAY_KEY

pytestmark = postgres_with_all

PATH = "/relays"
KEY = "sk-of-the-second-relay"
SECOND = {"name": "second", "base_url": "https://relay.example.com/v1/", "key": KEY}

WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"name": "Second"}, "name"),
    ({"name": "-second"}, "name"),
    ({"name": "s" * 33}, "name"),
    ({"base_url": "ftp://relay.example.com"}, "base_url"),
    ({"base_url": "https://lin:password@relay.example.com"}, "base_url"),
    ({"base_url": "https://relay.example.com/?key=1"}, "base_url"),
    ({"base_url": "https://" + "é" * 70 + ".com"}, "base_url"),
    ({"key": " "}, "key"),
    ({"key": "sk-第二"}, "key"),
    ({"models": ["gpt-image-9"]}, "models"),
    ({"models": ["dall-e-3"]}, "models"),
    ({"weight": -1}, "weight"),
    ({"weight": 1001}, "weight"),
    ({"concurrent": -1}, "concurrent"),
    ({"price_factor": "0"}, "price_factor"),
    ({"price_factor": "1000.1"}, "price_factor"),
    ({"price_factor": "0.0000001"}, "price_factor"),
    ({"price_factor": "NaN"}, "price_factor"),
    ({"micros_per_dollar": -1}, "micros_per_dollar"),
    ({"profile": "X"}, "profile"),
)


async def test_the_one_of_the_settings_is_there_from_the_start(office: Office) -> None:
    [found] = (await office.get(PATH))["data"]

    assert (found["name"], found["weight"], found["price_factor"]) == ("default", 1, "1.00")
    assert found["base_url"] == office.running.gateway.upstream.base_url
    assert found["has_key"] is True and found["state"] == "active"


async def test_requests_go_to_a_relay_from_its_addition_on_and_no_longer_after_it_is_disabled(office: Office) -> None:
    user = (await office.post("/users", name="lin"))["id"]
    key = (await office.post("/projects/proj_default/api_keys", user_id=user))["value"]
    await office.post(PATH, **SECOND | {"base_url": office.running.gateway.upstream.base_url, "key": "sk-refused"})
    await office.post(f"{PATH}/default", disabled=True)

    assert await office.comes_to(502, key)  # The sandbox refuses its key.
    [_, opened] = (await office.get(PATH))["data"]
    await office.post(f"{PATH}/second/key", key=RELAY_KEY)
    assert await office.comes_to(200, key)
    closed = await office.get(f"{PATH}/second")
    await office.post(f"{PATH}/second", disabled=True)

    assert await office.comes_to(503, key)
    assert (opened["breaker"], opened["breaker_code"]) == ("open", "upstream_misconfigured")
    assert opened["retry_in_s"] >= 0 and opened["in_flight"] == 0
    assert (closed["breaker"], closed["breaker_code"], closed["retry_in_s"]) == ("closed", None, None)


async def test_what_no_relay_can_have_is_refused_without_telling_a_secret(office: Office) -> None:
    for fields, param in WRONG:
        answer = await office.call("POST", PATH, SECOND | fields)

        assert answer.status_code == 400 and answer.json()["error"]["param"] == param, fields
        assert KEY not in answer.text and "password@" not in answer.text
    assert len((await office.get(PATH))["data"]) == 1


async def test_the_address_and_the_key_of_default_stand_in_the_settings_only(office: Office) -> None:
    for path, body, setting in (
        (f"{PATH}/default", {"base_url": "https://" + "é" * 70 + ".com", "key": "sk-x"}, "IMAGEGATE_UPSTREAM_BASE_URL"),
        (f"{PATH}/default", {"key": "sk-x"}, "IMAGEGATE_UPSTREAM_API_KEY"),
        (f"{PATH}/default/key", {"key": "sk-x"}, "IMAGEGATE_UPSTREAM_API_KEY"),
    ):
        answer = await office.call("POST", path, body)
        assert answer.status_code == 409 and setting in answer.json()["error"]["message"]

    assert await office.refused("DELETE", f"{PATH}/default") == (409, "conflict", "name")


async def test_a_new_address_needs_its_key_again(office: Office) -> None:
    await office.post(PATH, **SECOND)
    moved = {"base_url": "https://other.example.com"}

    assert await office.refused("POST", f"{PATH}/second", moved) == (400, "invalid_value", "key")
    same = await office.post(f"{PATH}/second", base_url="https://relay.example.com")
    assert same["key_replaced_at"] is None
    assert (await office.post(f"{PATH}/second", **moved, key="sk-x"))["base_url"] == moved["base_url"]


async def test_a_removed_relay_stays_in_the_book_and_so_does_its_name(office: Office) -> None:
    await office.post(PATH, **SECOND)
    assert await office.refused("POST", PATH, SECOND) == (409, "conflict", "name")

    assert (await office.delete(f"{PATH}/second"))["deleted"] is True

    assert await office.refused("POST", PATH, SECOND) == (409, "conflict", "name")
    assert await office.refused("POST", f"{PATH}/second", {"disabled": False}) == (409, "conflict", "name")
    assert await office.refused("DELETE", f"{PATH}/second") == (409, "conflict", "name")
    assert await office.refused("DELETE", f"{PATH}/third") == (404, "not_found", "name")
    assert len((await office.get(PATH))["data"]) == 1
    assert len((await office.get(PATH, include_removed=True))["data"]) == 2
    assert (await office.get(f"{PATH}/second"))["state"] == "removed"


async def test_a_removed_relay_keeps_its_key_while_a_request_of_it_is_open(office: Office) -> None:
    database = office.running.database
    await office.post(PATH, **SECOND)
    user = (await office.post("/users", name="lin"))["id"]
    key = await create_key(database, "lin", pepper=PEPPER)
    await insert_request(database, user, key.id, id="req_1", state="unknown", relay="second", dispatched_at_ms=1)
    await office.delete(f"{PATH}/second")

    async def has_key(**values: Any) -> bool:
        async with database.write() as connection:
            for name, value in values.items():
                table = relays if name == "removed_at_ms" else requests
                mine = table.c.name == "second" if table is relays else table.c.id == "req_1"
                await connection.execute(sa.update(table).where(mine).values({name: value}))
        await forget_removed_keys(database)
        return bool((await office.get(f"{PATH}/second"))["has_key"])

    long_ago = await database.now_ms() - KEY_KEPT_MS - 1000
    assert await has_key()
    assert await has_key(removed_at_ms=long_ago)
    assert await has_key(removed_at_ms=long_ago + 60_000, state="released")
    assert not await has_key(removed_at_ms=long_ago)


async def test_the_log_of_changes_has_every_change_and_no_key(office: Office) -> None:
    await office.post(PATH, **SECOND)
    await office.post(f"{PATH}/second", weight=5, disabled=True)
    await office.post(f"{PATH}/second", weight=5)
    await office.post(f"{PATH}/second/key", key="sk-another-key")
    await office.delete(f"{PATH}/second")

    logged = (await office.get("/audit_logs", limit=100))["data"]
    own = [each for each in reversed(logged) if each["event"].startswith("relay.")]

    events = ["created", "updated", "key_replaced", "deleted"]
    assert [each["event"] for each in own] == [f"relay.{event}" for event in events]
    assert own[1]["relay.updated"]["changes_requested"] == {"weight": 5, "disabled": True}
    assert KEY not in json.dumps(logged) and "sk-another-key" not in json.dumps(logged)
