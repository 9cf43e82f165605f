"""Aliases of models: set, changed and removed by administrators, with the permissions and limits of the model."""

import json
from typing import Any

import pytest

from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


PATH = "/model_aliases"
DEFAULTS = {
    "sizes": {"256x256": "1024x1024", "512x512": "1024x1024", "1792x1024": "1536x1024", "1024x1792": "1024x1536"},
    "qualities": {"standard": "medium", "hd": "high"},
    "dropped_fields": ["style"],
}


async def buy(office: Office, key: str, model: str, **headers: str) -> tuple[int, str | None, str | None]:
    """Status, code of the error, and the model that was bought."""
    office.running.gateway.control_data.expire()
    body = {"model": model, "prompt": "a lighthouse"}
    sent = {"Authorization": f"Bearer {key}", **headers}
    answer = await office.http.post("/v1/images/generations", json=body, headers=sent)
    code = answer.json()["error"]["code"] if answer.status_code != 200 else None
    return answer.status_code, code, answer.headers.get("x-imagegate-model")


async def test_a_new_book_begins_with_the_names_of_dall_e(office: Office) -> None:
    listed = (await office.get(PATH))["data"]

    assert [(each["name"], each["model"], each["response_format"]) for each in listed] == [
        ("dall-e-2", "gpt-image-1", "url"),
        ("dall-e-3", "gpt-image-1", "url"),
    ]
    assert all({name: each[name] for name in DEFAULTS} == DEFAULTS for each in listed)


async def test_repeating_keeps_what_is_not_named_and_an_empty_value_removes_it(office: Office) -> None:
    async def set_to(**fields: Any) -> tuple[Any, ...]:
        alias = await office.post(PATH, name="x", model="seedream-3.0", **fields)
        return alias["sizes"], alias["qualities"], alias["dropped_fields"], alias["response_format"]

    assert await set_to() == ({}, {}, [], None)
    assert await set_to(sizes={"a": "b"}, dropped_fields=["seed"]) == ({"a": "b"}, {}, ["seed"], None)
    assert await set_to(qualities={"c": "d"}) == ({"a": "b"}, {"c": "d"}, ["seed"], None)
    assert await set_to(response_format="url") == ({"a": "b"}, {"c": "d"}, ["seed"], "url")
    assert await set_to(sizes={}, dropped_fields=[], response_format="") == ({}, {"c": "d"}, [], None)
    assert await set_to(sizes=None, response_format=None) == ({}, {"c": "d"}, [], None)
    moved = await office.post(PATH, name="x", model="gpt-image-1", qualities={"hd": "medium"})
    assert (moved["sizes"], moved["qualities"]["hd"], moved["qualities"]["standard"]) == (
        DEFAULTS["sizes"],
        "medium",
        "medium",
    )


@pytest.mark.parametrize(
    "fields,refused",
    [
        ({"name": "seedream-3.0", "model": "gpt-image-1"}, (409, "conflict", "name")),
        ({"name": "x", "model": "dall-e-3"}, (400, "invalid_value", "model")),
        ({"name": "x", "model": "gpt-image-9"}, (400, "invalid_value", "model")),
        ({"name": "x", "model": "gpt-image-*"}, (400, "invalid_value", "model")),
        ({"name": "a b", "model": "gpt-image-1"}, (400, "invalid_value", "name")),
        ({"name": "", "model": "gpt-image-1"}, (400, "invalid_value", "name")),
        ({"name": "../x", "model": "gpt-image-1"}, (400, "invalid_value", "name")),
        ({"name": "x", "model": "gpt-image-1", "sizes": {"1x1": ""}}, (400, "invalid_value", "size")),
        ({"name": "x", "model": "gpt-image-1", "qualities": {"a b": "c"}}, (400, "invalid_value", "quality")),
        ({"name": "x", "model": "gpt-image-1", "dropped_fields": ["N"]}, (400, "invalid_value", "drop")),
        ({"name": "x", "model": "gpt-image-1", "dropped_fields": ["prompt"]}, (400, "invalid_value", "drop")),
        ({"name": "x", "model": "gpt-image-1", "response_format": "png"}, (400, "invalid_value", "response_format")),
    ],
)
async def test_what_cannot_stand_for_a_model_is_refused(
    office: Office, fields: dict[str, Any], refused: tuple[int, str, str]
) -> None:
    assert await office.refused("POST", PATH, fields) == refused


async def test_an_alias_of_an_alias_is_told_the_model(office: Office) -> None:
    answer = await office.call("POST", PATH, {"name": "x", "model": "dall-e-3"})

    assert "is an alias itself: name the model it stands for, gpt-image-1." in answer.json()["error"]["message"]


async def test_an_alias_works_from_the_next_request_on_and_stops_when_it_is_removed(office: Office) -> None:
    key = (await office.running.key("lin")).key
    before = await buy(office, key, "openai/anything")
    await office.post(PATH, name="openai/*", model="seedream-3.0")
    during = await buy(office, key, "openai/anything")
    removed = await office.call("DELETE", PATH, name="openai/*")
    after = await buy(office, key, "openai/anything")

    assert before == after == (404, "model_not_found", None)
    assert during == (200, None, "seedream-3.0")
    assert removed.json() == {"object": "model_alias.deleted", "deleted": True}
    assert await office.refused("DELETE", PATH, name="openai/*") == (404, "not_found", "name")
    assert [each for each in await office.events() if "alias" in each[0]] == [
        ("model_alias.created", "openai/*"),
        ("model_alias.deleted", "openai/*"),
    ]


async def test_a_model_of_the_same_name_wins_and_the_list_says_so(office: Office) -> None:
    key = (await office.running.key("lin")).key
    await office.post("/prices", model="dall-e-3", per_image="0.50")

    # The relay of the tests has no such model: that it was asked for it shows that the alias was passed over.
    assert await buy(office, key, "dall-e-3") == (503, "upstream_model_unavailable", None)
    [row] = await office.running.rows()
    assert (row["model"], row["asked_model"], row["quote_micros"]) == ("dall-e-3", None, 500_000)
    hidden = {each["name"]: each["hidden"] for each in (await office.get(PATH))["data"]}
    assert hidden == {"dall-e-2": False, "dall-e-3": True}


async def test_permissions_limits_and_rates_are_those_of_the_model(office: Office) -> None:
    running = office.running
    not_allowed = await running.key("lin", models=("seedream-3.0",))
    allowed = await running.key("lin", models=("gpt-image-1",))
    no_quota, no_rate = await running.key("bo"), await running.key("mo")
    await running.limit("key", no_quota.id, "images", "day", 0, "gpt-image-1")
    await running.limit("key", no_rate.id, "requests", "minute", 0, "gpt-image-1")

    assert await buy(office, allowed.key, "dall-e-3") == (200, None, "gpt-image-1")
    assert await buy(office, not_allowed.key, "dall-e-3") == (403, "model_not_allowed", None)
    assert await buy(office, no_quota.key, "dall-e-3") == (429, "insufficient_quota", None)
    assert await buy(office, no_rate.key, "dall-e-3") == (429, "rate_limit_exceeded", None)


async def test_a_repeated_request_by_an_alias_is_one_purchase_even_when_the_alias_has_changed(office: Office) -> None:
    key = (await office.running.key("lin")).key
    first = await buy(office, key, "dall-e-3", **{"Idempotency-Key": "one"})
    again = await buy(office, key, "dall-e-3", **{"Idempotency-Key": "one"})
    await office.post(PATH, name="dall-e-3", model="gpt-image-1", dropped_fields=["seed"], response_format="b64_json")
    changed = await buy(office, key, "dall-e-3", **{"Idempotency-Key": "one"})
    other = await buy(office, key, "gpt-image-1", **{"Idempotency-Key": "one"})

    assert first == again == changed == (200, None, "gpt-image-1")
    assert other[:2] == (422, "idempotency_key_reuse")
    assert len(await office.running.rows()) == 1


async def test_an_answer_that_is_fetched_later_names_the_model_and_the_row_what_was_asked(office: Office) -> None:
    key = (await office.running.key("lin")).key
    await buy(office, key, "dall-e-3")
    [row] = await office.running.rows()

    fetched = await office.http.get(
        f"/v1/images/requests/{row['id']}/result", headers={"Authorization": f"Bearer {key}"}
    )

    assert (fetched.status_code, fetched.headers["x-imagegate-model"]) == (200, "gpt-image-1")
    shown = await office.get(f"/requests/{row['id']}")
    assert (shown["model"], shown["asked_model"]) == ("gpt-image-1", "dall-e-3")


async def test_a_quote_by_an_alias_is_that_of_the_model(office: Office) -> None:
    key = (await office.running.key("lin")).key
    body = {"model": "dall-e-3", "prompt": "a cat", "size": "1792x1024", "quality": "hd", "style": "vivid"}

    answer = await office.http.post("/v1/images/quote", json=body, headers={"Authorization": f"Bearer {key}"})

    found = json.loads(answer.text)
    assert [found[name] for name in ("model", "size", "quality", "amount")] == [
        "gpt-image-1",
        "1536x1024",
        "high",
        "1.00",
    ]
