"""Spend limits and image quotas, in every place they may stand."""

import asyncio

import pytest

from app.core.intervals import bounds_ms
from app.store.engine import Database
from tests.api.organization.conftest import Office

PLACES = ["", "/projects/{project}", "/users/{user}", "/projects/{project}/api_keys/{key}"]
OBJECTS = dict(
    zip(PLACES, ("organization", "project", "organization.user", "organization.project.api_key"), strict=True)
)


async def filled_in(office: Office, place: str) -> tuple[str, str]:
    """A place's path, and an API key that the limits there bear on."""
    created = await office.running.key()
    [user] = (await office.get("/users"))["data"]
    return place.format(project="proj_default", user=user["id"], key=created.id), created.key


async def month_ends_at(database: Database, zone: object) -> int:
    ends_ms = bounds_ms("month", await database.now_ms(), zone)[1]  # type: ignore[arg-type]
    assert ends_ms is not None
    return ends_ms // 1000


@pytest.mark.parametrize("place", PLACES)
async def test_a_spend_limit_holds_and_shows_what_is_used(office: Office, place: str) -> None:
    path, key = await filled_in(office, place)
    ends = await month_ends_at(office.running.database, office.running.gateway.zone)

    given = await office.post(f"{path}/spend_limit", currency="CNY", interval="month", threshold_amount=8)

    assert given == {
        "object": f"{OBJECTS[place]}.spend_limit",
        "currency": "CNY",
        "interval": "month",
        "threshold_amount": 8,
        "enforcement": {"status": "inactive"},
        "used_micros": 0,
        "held_micros": 0,
        "left_micros": 80_000,
        "resets_at": ends,
    }
    assert [await office.image(key) for _ in range(2)] == [200, 429]
    spent = given | {"enforcement": {"status": "enforcing"}, "used_micros": 80_000, "left_micros": 0}
    assert await office.get(f"{path}/spend_limit") == spent


@pytest.mark.parametrize("place", PLACES)
async def test_an_image_quota_has_the_same_form(office: Office, place: str) -> None:
    path, key = await filled_in(office, place)

    given = await office.post(f"{path}/image_quota", interval="day", threshold_amount=1)

    assert given["object"] == f"{OBJECTS[place]}.image_quota"
    assert (given["threshold_amount"], given["left"], "currency" in given) == (1, 1, False)
    assert [await office.image(key) for _ in range(2)] == [200, 429]
    found = await office.get(f"{path}/image_quota", interval="day")
    assert (found["used"], found["left"], found["enforcement"]["status"]) == (1, 0, "enforcing")


async def test_each_interval_is_a_limit_of_its_own(office: Office) -> None:
    for number, interval in enumerate(("day", "week", "month", "lifetime")):
        await office.post("/spend_limit", currency="CNY", interval=interval, threshold_amount=number)

    found = [await office.get("/spend_limit", interval=interval) for interval in ("day", "week", "month", "lifetime")]

    assert [each["threshold_amount"] for each in found] == [0, 1, 2, 3]
    assert found[-1]["resets_at"] is None
    assert await office.get("/spend_limit") == found[2]


async def test_deleting_removes_one_interval_and_says_whether_there_was_one(office: Office) -> None:
    for interval in ("day", "month"):
        await office.post("/spend_limit", currency="CNY", interval=interval, threshold_amount=1)

    gone = [await office.delete("/spend_limit") for _ in range(2)]

    assert gone == [{"object": "organization.spend_limit.deleted", "deleted": deleted} for deleted in (True, False)]
    assert await office.refused("GET", "/spend_limit") == (404, "not_found", "interval")
    assert (await office.get("/spend_limit", interval="day"))["threshold_amount"] == 1
    assert await office.delete("/spend_limit?interval=day") == gone[0]


async def test_another_currency_is_refused_and_nothing_is_converted(office: Office) -> None:
    body = {"currency": "USD", "interval": "month", "threshold_amount": 100}

    assert await office.refused("POST", "/spend_limit", body) == (400, "invalid_value", "currency")
    assert (await office.post("/spend_limit", **body | {"currency": "cny"}))["currency"] == "CNY"


async def test_a_limit_lowered_below_what_is_used_is_enforced_and_its_left_is_negative(office: Office) -> None:
    key = (await office.running.key()).key
    assert await office.image(key) == 200
    await office.post("/spend_limit", currency="CNY", interval="month", threshold_amount=100)
    assert await office.image(key) == 200

    lowered = await office.post("/spend_limit", currency="CNY", interval="month", threshold_amount=1)

    assert (lowered["used_micros"], lowered["left_micros"]) == (80_000, -70_000), "a limit counts from when it is set"
    assert lowered["enforcement"]["status"] == "enforcing"


async def test_two_settings_of_one_limit_at_once_leave_one_of_them_and_both_in_the_log(office: Office) -> None:
    amounts = list(range(1, 9))

    await asyncio.gather(
        *(office.post("/spend_limit", currency="CNY", interval="month", threshold_amount=each) for each in amounts)
    )

    found = await office.get("/spend_limit")
    assert found["threshold_amount"] in amounts
    assert len([event for event in await office.events() if event[0] == "limit.updated"]) == len(amounts)


async def test_what_cannot_be_is_refused(office: Office) -> None:
    good = {"currency": "CNY", "interval": "month", "threshold_amount": 100}

    async def refused(path: str = "/spend_limit", **other: object) -> tuple[int, str, str | None]:
        return await office.refused("POST", path, good | other)

    assert await refused(threshold_amount=-1) == (400, "invalid_value", "threshold_amount")
    assert await refused(threshold_amount=1.5) == (400, "invalid_type", "threshold_amount")
    assert await refused(threshold_amount=10**12) == (400, "invalid_value", "threshold_amount")
    assert await refused(interval="minute") == (400, "invalid_value", "interval")
    assert await refused("/spend_limit?interval=day") == (400, "invalid_value", "interval")
    assert await refused(model="gpt-image-1") == (400, "unknown_parameter", "model")
    assert await refused("/image_quota") == (400, "unknown_parameter", "currency")
    assert await refused("/projects/proj_none/spend_limit") == (404, "not_found", "project")
    assert await refused("/users/user-none/spend_limit") == (404, "not_found", "user")
    assert (await refused("/projects/proj_default/api_keys/key_none/spend_limit"))[:2] == (404, "not_found")


async def test_a_key_is_found_in_its_own_project_only(office: Office) -> None:
    web = await office.post("/projects", name="web")
    key = await office.running.key()

    answer = await office.refused("GET", f"/projects/{web['id']}/api_keys/{key.id}/spend_limit")

    assert answer[:2] == (404, "not_found")
