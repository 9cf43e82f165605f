"""The price book over the API: listed with history, set, exported and imported."""

from typing import Any

import pytest

from tests.api.organization.conftest import ROOT, Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


async def send(office: Office, text: str, content_type: str, **query: Any) -> Any:
    headers = {"Authorization": f"Bearer {office.owner}", "Content-Type": content_type}
    path = f"{ROOT}/prices/import"
    return await office.http.post(path, content=text.encode(), headers=headers, params=query or None)


async def test_a_price_is_set_and_the_one_before_it_stays_in_the_list(office: Office) -> None:
    new = await office.post("/prices", model="seedream-3.0", per_image="0.10")

    assert (new["per_image_micros"], new["in_force"]) == (100_000, True)
    listed = (await office.get("/prices", model="seedream-3.0"))["data"]
    assert [(price["per_image_micros"], price["in_force"]) for price in listed] == [(80_000, False), (100_000, True)]
    assert (await office.get("/prices", model="seedream-3.0", in_force="true"))["data"] == [new]
    assert (await office.events())[-1] == ("price.created", new["id"])


async def test_a_price_from_a_day_on_and_per_token(office: Office) -> None:
    amounts = {
        "per_million_input_text_micros": 5_000_000,
        "per_million_input_image_micros": 10_000_000,
        "per_million_output_micros": 40_000_000,
        "ceiling_per_image_micros": 1_500_000,
    }
    new = await office.post("/prices", model="imagen4", **{"from": "2099-12-01"}, quality="high", **amounts)

    assert {name: new[name] for name in amounts} == amounts
    assert (new["per_image_micros"], new["in_force"], new["quality"]) == (None, False, "high")
    assert new["starts_at"] == 4_099_737_600


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"per_image": 0.08},
        {"per_image": "free"},
        {"per_image": "-1"},
        {"per_image": "1", "ceiling_per_image": "1"},
        {"per_image": "1", "per_image_micros": 1_000_000},
        {"per_million_output": "1"},
        {"per_image": "1", "from": "2020-01-01"},
        {"per_image": "1", "from": "2020-01-01T00:00:00+08:00"},
        {"per_image": "1", "from": "soon"},
        {"per_image": "1", "operation": "paint"},
        {"per_image": "1", "more": 1},
    ],
)
async def test_a_price_that_cannot_be_is_a_400(office: Office, given: dict[str, Any]) -> None:
    assert (await office.refused("POST", "/prices", {"model": "seedream-3.0"} | given))[0] == 400


async def test_the_list_goes_on_after_an_id(office: Office) -> None:
    ids = [price["id"] for price in (await office.get("/prices"))["data"]]

    first = await office.get("/prices", limit=3)
    rest = await office.get("/prices", after=first["last_id"])

    assert [price["id"] for price in first["data"] + rest["data"]] == ids
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert (await office.refused("GET", "/prices", after="price_0"))[2] == "after"


@pytest.mark.parametrize("format", ["yaml", "json"])
async def test_what_is_exported_can_be_imported_and_changes_nothing(office: Office, format: str) -> None:
    await office.post("/prices", model="seedream-3.0", per_image="0.10")
    for amount in ("0.30", "0.20"):  # Of two for the same day the later one counts.
        await office.post("/prices", model="seedream-3.0", per_image=amount, **{"from": "2099-12-01"})
    exported = (await office.call("GET", "/prices/export", format=format)).text

    answer = await send(office, exported, f"application/{format}")

    assert answer.json() == {
        "object": "price.import",
        "dry_run": False,
        "set": [],
        "unchanged": 5,
        "past": 1,
        "notes": [],
    }


async def test_an_import_is_tried_first_and_then_done_or_nothing_is(office: Office) -> None:
    text = "prices: [{model: seedream-3.0, per_image: 0.09}, {model: new, per_image: 1}]"
    tried = (await send(office, text, "application/yaml", dry_run="true")).json()
    assert [(step["model"], step["was"] and step["was"]["per_image_micros"]) for step in tried["set"]] == [
        ("seedream-3.0", 80_000),
        ("new", None),
    ]
    assert (await office.get("/prices", model="new"))["data"] == []

    done = (await send(office, text, "application/yaml")).json()

    assert done["set"] == tried["set"]
    assert [price["per_image_micros"] for price in (await office.get("/prices", model="new"))["data"]] == [1_000_000]
    wrong = "prices: [{model: newer, per_image: 1}, {model: worse, per_image: nothing}]"
    answer = await send(office, wrong, "application/yaml")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prices.1.per_image")
    assert (await office.get("/prices", model="newer"))["data"] == []
    assert (await send(office, text, "text/plain")).status_code == 415
    assert (await send(office, " " * 1_100_000, "application/yaml")).status_code == 413
