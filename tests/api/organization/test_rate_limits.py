"""Rate limits of a project, one row for each model."""

from zoneinfo import ZoneInfo

from app.control.prices import PriceEntry, set_price
from app.core.pricing import PerImage
from tests.api.organization.conftest import Office
from tests.databases import postgres_with_all

pytestmark = postgres_with_all


PATH = "/projects/proj_default/rate_limits"
UNLIMITED = 1_000_000_000
CATALOG = ["gpt-image-1", "seedream-3.0", "flux-kontext-pro", "flux-kontext-max", "imagen4"]


async def test_there_is_a_row_for_each_model_of_the_catalog(office: Office) -> None:
    found = await office.get(PATH)

    assert sorted(row["model"] for row in found["data"]) == sorted(CATALOG)
    assert found["data"][0] == {
        "object": "project.rate_limit",
        "id": f"rl-{found['data'][0]['model']}",
        "model": found["data"][0]["model"],
        "max_requests_per_1_minute": UNLIMITED,
        "max_images_per_1_minute": UNLIMITED,
        "max_requests_per_1_day": UNLIMITED,
        "max_tokens_per_1_minute": UNLIMITED,
    }


async def test_a_limit_that_is_set_holds_for_that_model_in_that_project(office: Office) -> None:
    web = await office.post("/projects", name="web")
    here, there = (await office.running.key()).key, (await office.running.key("mei", project="web")).key

    row = await office.post(f"{PATH}/rl-seedream-3.0", max_requests_per_1_minute=1, max_requests_per_1_day=5)

    assert (row["max_requests_per_1_minute"], row["max_requests_per_1_day"]) == (1, 5)
    assert row["max_images_per_1_minute"] == UNLIMITED
    assert row in (await office.get(PATH))["data"]
    assert row not in (await office.get(f"/projects/{web['id']}/rate_limits"))["data"]
    assert [await office.image(here) for _ in range(2)] == [200, 429]
    assert [await office.image(there) for _ in range(2)] == [200, 200]


async def test_requests_per_day_are_a_quota(office: Office) -> None:
    key = (await office.running.key()).key
    await office.post(f"{PATH}/rl-seedream-3.0", max_requests_per_1_day=1)

    assert [await office.image(key) for _ in range(2)] == [200, 429]


async def test_what_is_left_out_stays_and_the_number_for_unlimited_removes(office: Office) -> None:
    await office.post(f"{PATH}/rl-gpt-image-1", max_images_per_1_minute=7, max_requests_per_1_minute=3)

    row = await office.post(f"{PATH}/rl-gpt-image-1", max_images_per_1_minute=UNLIMITED)

    assert (row["max_images_per_1_minute"], row["max_requests_per_1_minute"]) == (UNLIMITED, 3)
    assert await office.post(f"{PATH}/rl-gpt-image-1") == row


async def test_what_a_row_shows_can_be_sent_back(office: Office) -> None:
    row = await office.post(f"{PATH}/rl-gpt-image-1", max_images_per_1_minute=7)
    fields = {name: value for name, value in row.items() if name.startswith("max_")}

    assert await office.post(f"{PATH}/rl-gpt-image-1", **fields) == row


async def test_a_model_with_a_slash_in_its_name_and_the_models_own_name_are_found(office: Office) -> None:
    await set_price(office.running.database, ZoneInfo("UTC"), PriceEntry("stability/ultra", PerImage(10)))

    by_id = await office.post(f"{PATH}/rl-stability%2Fultra", max_requests_per_1_minute=3)
    by_model = await office.post(f"{PATH}/stability%2Fultra")

    assert by_id == by_model
    assert by_id["max_requests_per_1_minute"] == 3


async def test_the_list_has_pages_in_both_directions(office: Office) -> None:
    ids = [row["id"] for row in (await office.get(PATH))["data"]]

    first = await office.get(PATH, limit=2)
    second = await office.get(PATH, limit=2, after=first["last_id"])
    third = await office.get(PATH, limit=2, after=second["last_id"])
    back = await office.get(PATH, limit=2, before=second["last_id"])

    assert [[row["id"] for row in page["data"]] for page in (first, second, third)] == [ids[:2], ids[2:4], ids[4:]]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    assert [row["id"] for row in back["data"]] == ids[1:3]
    assert back["has_more"]
    assert (await office.get(PATH, limit=0))["last_id"] == ids[-1]


async def test_changes_are_logged_under_openais_name(office: Office) -> None:
    await office.post(f"{PATH}/rl-gpt-image-1", max_images_per_1_minute=7)

    assert ("rate_limit.updated", "proj_default") in await office.events()


async def test_what_cannot_be_is_refused(office: Office) -> None:
    async def refused(path: str, body: dict[str, object] | None = None, **query: object) -> tuple[int, str, str | None]:
        return await office.refused("GET" if body is None else "POST", path, body, **query)

    assert await refused(f"{PATH}/rl-nope", {}) == (404, "not_found", "rate_limit_id")
    assert await refused("/projects/proj_none/rate_limits") == (404, "not_found", "project")
    assert await refused("/projects/proj_none/rate_limits/rl-gpt-image-1", {}) == (404, "not_found", "project")
    images = "max_images_per_1_minute"
    assert await refused(f"{PATH}/rl-gpt-image-1", {images: -1}) == (400, "invalid_value", images)
    assert await refused(f"{PATH}/rl-gpt-image-1", {images: "7"}) == (400, "invalid_type", images)
    assert await refused(f"{PATH}/rl-gpt-image-1", {images: UNLIMITED + 1}) == (400, "invalid_value", images)
    assert await refused(f"{PATH}/rl-gpt-image-1", {"max_videos": 1}) == (400, "unknown_parameter", "max_videos")
    assert await refused(PATH, after="rl-nope") == (400, "invalid_value", "after")
    assert await refused(PATH, limit=101) == (400, "invalid_value", "limit")
