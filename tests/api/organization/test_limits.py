"""Every limit there can be, at one path."""

from typing import Any

import pytest

from tests.api.organization.conftest import Office

SPEND = {"unit": "micros", "interval": "month", "amount": 20_000_000}


async def test_limits_of_every_kind_are_set_together_and_listed(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    rates = {"unit": "images", "interval": "minute", "amount": 6}
    at_once = {"unit": "in_flight", "amount": 2}

    made = await office.post("/limits", scope="user", scope_id="lin", limits=[SPEND, rates, at_once])
    await office.post("/limits", limits=[{"unit": "spend", "interval": "month", "amount": 5}], model="seedream-3.0")

    facts = {(each["unit"], each["interval"]): each["amount"] for each in made["data"]}
    assert facts == {("micros", "month"): 20_000_000, ("images", "minute"): 6, ("in_flight", "lifetime"): 2}
    spend = next(each for each in made["data"] if each["unit"] == "micros")
    assert (spend["scope_id"], spend["scope_name"], spend["model"]) == (lin["id"], "lin", None)
    assert (spend["spent"], spend["held"], spend["left"]) == (0, 0, 20_000_000)
    every = (await office.get("/limits"))["data"]
    assert len(every) == 4
    assert 50_000 in {each["amount"] for each in every}  # `spend` is the older name of money, in hundredths.
    assert (await office.get("/limits", scope="user", scope_id=lin["id"]))["data"] == made["data"]
    assert [each["model"] for each in (await office.get("/limits", scope="organization"))["data"]] == ["seedream-3.0"]
    assert (await office.get("/limits", model=""))["data"] == made["data"]
    assert (await office.get(f"/users/{lin['id']}/spend_limit"))["threshold_amount"] == 2000


async def test_a_limit_is_removed_and_all_change_or_none(office: Office) -> None:
    await office.post("/limits", limits=[SPEND])

    wrong = {"limits": [{**SPEND, "amount": 70_000}, {**SPEND, "interval": "minute"}]}
    assert (await office.refused("POST", "/limits", wrong))[:2] == (400, "invalid_value")
    assert [each["amount"] for each in (await office.get("/limits"))["data"]] == [20_000_000]

    gone = await office.post("/limits", limits=[{**SPEND, "amount": None}])
    assert gone["data"] == (await office.get("/limits"))["data"] == []


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"limits": []}, "limits"),
        ({"limits": [SPEND], "scope": "user"}, "scope_id"),
        ({"limits": [SPEND], "scope_id": "proj_default"}, "scope_id"),
        ({"limits": [SPEND], "model": "unknown"}, "model"),
        ({"limits": [{**SPEND, "amount": -1}]}, "micros"),
        ({"limits": [{**SPEND, "amount": "7"}]}, "limits.0.amount"),
        ({"limits": [{"unit": "micros", "interval": "month"}]}, "limits.0.amount"),
        ({"limits": [{**SPEND, "unit": "money"}]}, "limits.0.unit"),
    ],
)
async def test_what_cannot_be_is_a_400(office: Office, given: dict[str, Any], param: str) -> None:
    status, _, named = await office.refused("POST", "/limits", given)

    assert (status, named) == (400, param)


async def test_a_scope_that_is_not_there_is_a_404(office: Office) -> None:
    assert (await office.refused("GET", "/limits", scope="user", scope_id="nobody"))[0] == 404
    assert (await office.refused("POST", "/limits", {"scope": "key", "scope_id": "key_x", "limits": [SPEND]}))[0] == 404
    assert (await office.refused("GET", "/limits", scope_id="lin"))[0] == 400
