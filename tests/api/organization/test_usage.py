"""Usage and costs over the API: shapes, filters, pages, and the table for spreadsheets."""

import csv
import io
from itertools import chain, combinations
from typing import Any

from app.core.money import micros
from tests.api.organization.conftest import Office
from tests.databases import insert_usage

DAY_S = 86_400
START_S = 1_796_083_200
"""A midnight of UTC."""
PERIOD: dict[str, Any] = {"start_time": START_S, "end_time": START_S + 3 * DAY_S}
FIELDS = ("project_id", "user_id", "api_key_id", "model", "size", "source")


async def used(office: Office, **given: Any) -> None:
    at_ms = given.pop("at_s", START_S) * 1000
    await insert_usage(office.running.database, hour_at_ms=at_ms, **given)


def results(page: Any) -> list[dict[str, Any]]:
    return [result for bucket in page["data"] for result in bucket["results"]]


async def test_an_image_that_was_bought_is_in_usage_and_costs_of_every_width(office: Office) -> None:
    created = await office.running.key()
    now_s = await office.running.database.now_ms() // 1000
    assert await office.image(created.key) == 200

    for width in ("1m", "1h", "1d"):
        page = await office.get("/usage/images", start_time=now_s - 60, bucket_width=width)
        [result] = results(page)
        assert result == {
            "object": "organization.usage.images.result",
            "images": 1,
            "num_model_requests": 1,
            **dict.fromkeys(("project_id", "user_id", "api_key_id", "model", "size", "source")),
            "amount_micros": 80_000,
        }
    [cost] = results(await office.get("/costs", start_time=now_s - 60, **{"group_by[]": ["line_item", "api_key_id"]}))
    assert cost == {
        "object": "organization.costs.result",
        "amount": {"value": 0.08, "currency": "cny"},
        "project_id": None,
        "user_id": None,
        "api_key_id": created.id,
        "line_item": "seedream-3.0, image.generation",
        "quantity": 1.0,
        "quantity_unit": "images",
        "model": None,
        "amount_micros": 80_000,
    }


async def test_a_page_has_every_bucket_and_goes_on_where_it_ended(office: Office) -> None:
    await used(office, at_s=START_S + DAY_S, size="1536x1024")

    first = await office.get("/usage/images", limit=2, **PERIOD, group_by="size")
    second = await office.get("/usage/images", limit=2, **PERIOD, group_by="size", page=first["next_page"])

    assert (first["object"], first["has_more"], second["has_more"], second["next_page"]) == ("page", True, False, None)
    buckets = first["data"] + second["data"]
    assert [(bucket["start_time"], bucket["end_time"]) for bucket in buckets] == [
        (START_S + day * DAY_S, START_S + (day + 1) * DAY_S) for day in range(3)
    ]
    assert [[result["size"] for result in bucket["results"]] for bucket in buckets] == [[], ["1536x1024"], []]


async def test_every_filter_is_taken_however_the_list_is_written(office: Office) -> None:
    about = {"project_id": "proj_a", "user_id": "user-a", "api_key_id": "key_a", "model": "m", "size": "1x1"}
    await used(office, **about, operation="edit")
    await used(office)
    filters = {
        "project_ids": "proj_a",
        "user_ids": "user-a",
        "api_key_ids": "key_a",
        "models": "m",
        "sizes": "1x1",
        "sources": "image.edit",
    }

    for name, value in filters.items():
        for written in (name, f"{name}[]", f"{name}[0]"):
            page = await office.get("/usage/images", **PERIOD, **{written: value})
            assert sum(result["num_model_requests"] for result in results(page)) == 1, written
    both = await office.get("/usage/images", **PERIOD, **{"sources[]": ["image.edit", "image.generation"]})
    assert sum(result["num_model_requests"] for result in results(both)) == 2


async def test_costs_are_filtered_by_line_item_and_grouped_by_model(office: Office) -> None:
    await used(office, model="m, n", operation="edit", cost_micros=1)
    await used(office, model="m, n", cost_micros=10)
    await used(office, model="other", operation="edit", cost_micros=100)

    one = await office.get("/costs", **PERIOD, **{"line_items[]": ["m, n, image.edit"]})
    by_model = await office.get("/costs", **PERIOD, **{"group_by[]": ["model"]})

    assert [result["amount_micros"] for result in results(one)] == [1]
    assert [(each["model"], each["amount_micros"], each["line_item"]) for each in results(by_model)] == [
        ("other", 100, None),
        ("m, n", 11, None),
    ]


async def test_unless_asked_for_there_are_as_many_buckets_as_openai_returns(office: Office) -> None:
    async def count(path: str, **query: Any) -> int:
        return len((await office.get(path, start_time=0, **query))["data"])

    assert await count("/usage/images") == await count("/costs") == await count("/costs", limit=0) == 7
    assert await count("/usage/images", bucket_width="1h") == 24
    assert await count("/usage/images", bucket_width="1m") == 60
    assert await count("/costs", limit=180) == 180


async def test_what_cannot_be_asked_is_refused(office: Office) -> None:
    async def refused(path: str = "/usage/images", **query: Any) -> tuple[int, str, str | None]:
        return await office.refused("GET", path, **query)

    assert await refused() == (400, "missing_required_parameter", "start_time")
    assert await refused(start_time="now") == (400, "invalid_type", "start_time")
    assert await refused(start_time=-1) == (400, "invalid_value", "start_time")
    assert await refused(start_time=10**17) == (400, "invalid_value", "start_time")
    assert await refused(start_time=[0, 1]) == (400, "invalid_value", "start_time")
    assert await refused(start_time=0, project_id="proj_a") == (400, "unknown_parameter", "project_id")
    assert (await refused(start_time=0, group_by="color"))[:2] == (400, "invalid_value")
    assert await refused(start_time=0, bucket_width="1w") == (400, "invalid_value", "bucket_width")
    assert await refused(start_time=0, page="nonsense") == (400, "invalid_value", "page")
    for width, most in (("1d", 31), ("1h", 168), ("1m", 1440)):
        assert (await refused(start_time=0, bucket_width=width, limit=most + 1))[2] == "limit"
    assert (await refused("/costs", start_time=0, limit=181))[2] == "limit"
    assert await refused("/costs", start_time=0, bucket_width="1h") == (400, "invalid_value", "bucket_width")


async def table(office: Office, **query: Any) -> list[dict[str, str]]:
    answer = await office.call("GET", "/usage/images.csv", **PERIOD, **query)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


async def test_the_table_has_names_beside_ids_and_plain_decimals(office: Office) -> None:
    created = await office.running.key("=cmd()")
    [user] = (await office.get("/users"))["data"]
    about = {"user_id": user["id"], "api_key_id": created.id, "model": "@model", "size": "1x1"}
    await used(office, **about, cost_micros=-80_000, images=2, input_tokens=30, output_tokens=400)

    [row] = await table(office, **{"group_by[]": FIELDS})

    assert row == {
        "start_time": "2026-12-01T00:00:00Z",
        "end_time": "2026-12-02T00:00:00Z",
        "project": "default",
        "project_id": "proj_default",
        "user": "'=cmd()",
        "user_id": user["id"],
        "api_key": "'=cmd()",
        "api_key_id": created.id,
        "model": "'@model",
        "size": "1x1",
        "source": "image.generation",
        "requests": "1",
        "images": "2",
        "cost": "-0.08",
        "currency": "CNY",
        "input_tokens": "30",
        "output_tokens": "400",
    }


async def test_a_byte_order_mark_comes_only_when_asked_for(office: Office) -> None:
    for query, starts in (({}, b"start_time"), ({"bom": "true"}, b"\xef\xbb\xbfstart_time")):
        answer = await office.call("GET", "/usage/images.csv", **PERIOD, **query)
        assert answer.content.startswith(starts)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"


async def test_a_table_of_too_much_time_is_refused(office: Office) -> None:
    refused = await office.refused("GET", "/usage/images.csv", start_time=0)

    assert refused == (400, "invalid_value", "start_time")


async def test_every_grouping_sums_to_the_same_total_to_the_micro(office: Office) -> None:
    for number in range(12):
        about = {"project_id": f"proj_{number % 2}", "user_id": f"user-{number % 3}", "size": ("", "1x1")[number % 2]}
        await used(office, **about, at_s=START_S + number * 7000, model=f"m{number % 4}", cost_micros=333_333 + number)
    total = 12 * 333_333 + sum(range(12))

    for by in chain.from_iterable(combinations(FIELDS, count) for count in (0, 1, 2, len(FIELDS))):
        found = results(await office.get("/usage/images", **PERIOD, **{"group_by[]": by}))
        rows = await table(office, **{"group_by[]": by})
        assert sum(result["amount_micros"] for result in found) == total, by
        assert sum(micros(row["cost"]) for row in rows) == total, by
        assert sum(result["images"] for result in found) == sum(int(row["images"]) for row in rows) == 12, by
    for by in (("line_item",), ("model", "user_id"), ("project_id", "api_key_id", "line_item", "model"), ()):
        found = results(await office.get("/costs", **PERIOD, **{"group_by[]": by}))
        assert sum(result["amount_micros"] for result in found) == total, by


async def test_usage_of_somebody_who_is_gone_keeps_their_name(office: Office) -> None:
    mei = await office.post("/users", name="mei")
    await used(office, user_id=mei["id"])
    await office.delete(f"/users/{mei['id']}")

    [row] = await table(office, group_by="user_id")

    assert (row["user"], row["user_id"]) == ("mei", mei["id"])


async def test_an_api_key_is_no_admin_key(office: Office) -> None:
    key = (await office.running.key()).key

    for path in ("/usage/images", "/usage/images.csv", "/costs"):
        assert (await office.call("GET", path, key=key, start_time=0)).status_code == 401
