"""Every limit there can be, at one path."""

import asyncio
from typing import Any

import pytest

from app.sandbox import RunningSandbox
from tests.api.organization.conftest import Office
from tests.held import HELD, answering

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


DAILY = {"unit": "images", "interval": "day"}


async def test_an_own_limit_set_while_a_request_is_under_way_goes_on_with_the_count_of_the_default(
    office: Office, relay: RunningSandbox
) -> None:
    first = await office.running.key()
    second = await office.running.key()
    await office.post("/limits", scope="everyone", limits=[{**DAILY, "amount": 2}])
    assert await office.image(first.key) == 200
    headers = {"Authorization": f"Bearer {second.key}"}
    slow = {"model": "seedream-3.0", "prompt": HELD}
    asking = asyncio.create_task(office.http.post("/v1/images/generations", json=slow, headers=headers))
    async with asyncio.timeout(30):
        while (await _own(office))["held"] != 1:
            await asyncio.sleep(0.02)

    refused = await office.http.post("/v1/images/generations", json={**slow, "prompt": "another"}, headers=headers)
    set_now = await office.post("/limits", scope="user", scope_id="lin", limits=[{**DAILY, "amount": 3}])
    with answering(relay):
        assert (await asking).status_code == 200
    then = [await office.image(first.key), await office.image(second.key)]
    own = await _own(office)
    await office.post("/limits", scope="user", scope_id="lin", limits=[{**DAILY, "amount": None}])

    message = refused.json()["error"]["message"]
    assert message.startswith("The default daily image quota of user lin has 0 images left of 2 images (resets ")
    assert [(each["spent"], each["held"], each["default_of"]) for each in set_now["data"]] == [(1, 1, None)]
    assert then == [200, 429]
    assert (own["spent"], own["held"], own["left"]) == (3, 0, 0)
    after = await _own(office)
    assert (after["amount"], after["spent"], after["left"]) == (2, 3, -1)
    assert (after["name"], after["default_of"]) == ("default daily image quota of user lin", "organization")
    office.running.gateway.control_data.expire()
    shown = (await office.http.get("/v1/key", headers=headers)).json()
    assert [limit for limit in shown["limits"] if limit["scope"] == "user"] == [after]


async def _own(office: Office) -> Any:
    [only] = (await office.get("/limits", scope="user", scope_id="lin"))["data"]
    return only


async def test_a_default_of_a_project_is_listed_with_the_limits_it_gives_and_logged_once(office: Office) -> None:
    red = await office.post("/projects", name="red")
    for name in ("lin", "bo"):
        user = await office.post("/users", name=name)
        await office.post(f"/projects/{red['id']}/users", user_id=user["id"], role="member")
    wanted = {"scope": "everyone", "scope_id": "red", "limits": [{**DAILY, "amount": 5}]}

    made = await office.post("/limits", **wanted)
    listed = (await office.get("/limits", scope="everyone", scope_id="red"))["data"]
    path = f"/users/{user['id']}/image_quota"
    shown = await office.get(path, interval="day")
    removed = [await office.delete(f"{path}?interval=day")]
    await office.post(path, interval="day", threshold_amount=9)
    removed.append(await office.delete(f"{path}?interval=day"))

    [default] = made["data"]
    facts = {
        name: default[name] for name in ("scope", "scope_id", "scope_name", "amount", "spent", "left", "default_of")
    }
    assert facts == {
        "scope": "everyone",
        "scope_id": red["id"],
        "scope_name": "red",
        "amount": 5,
        "spent": None,
        "left": None,
        "default_of": None,
    }
    assert [(each["scope_name"], each["amount"], each["default_of"]) for each in listed] == [
        ("red", 5, None),
        ("bo", 5, red["id"]),
        ("lin", 5, red["id"]),
    ]
    assert shown["threshold_amount"] == 5
    assert [each["deleted"] for each in removed] == [False, True]
    assert (await office.get(path, interval="day"))["threshold_amount"] == 5
    log = (await office.get("/audit_logs", limit=100, **{"event_types[]": "limit.updated"}))["data"]
    assert [(each["limit.updated"]["id"], each["after"]["scope"]) for each in reversed(log)] == [
        (red["id"], "everyone"),
        (user["id"], "user"),
    ]
    assert (log[0]["before"], log[1]["project"]["id"]) == (None, red["id"])
