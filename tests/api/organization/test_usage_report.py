"""Sums over local days, by anything that is counted."""

from tests.api.organization.conftest import Office
from tests.databases import insert_usage


async def test_usage_adds_up_by_what_is_asked_for_with_names_beside_ids(office: Office) -> None:
    lin = await office.post("/users", name="lin")
    database = office.running.database
    await insert_usage(database, user_id=lin["id"], cost_micros=1_234_567, day="2026-11-20", output_tokens=9)
    await insert_usage(database, user_id=lin["id"], cost_micros=80_000, day="2026-11-21", hour_at_ms=3_600_000)

    report = await office.get("/usage/report", by="day,user")
    only = await office.get("/usage/report", since="2026-11-21", until="2026-11-22")

    assert (report["by"], report["currency"]) == (["day", "user"], "CNY")
    assert [(row["day"], row["user"], row["user_id"], row["cost_micros"]) for row in report["data"]] == [
        ("2026-11-20", "lin", lin["id"], 1_234_567),
        ("2026-11-21", "lin", lin["id"], 80_000),
    ]
    assert report["total"] == {
        "requests": 2,
        "images": 2,
        "cost_micros": 1_314_567,
        "input_tokens": 0,
        "output_tokens": 9,
        "duplicates": 0,
        "duplicates_micros": 0,
        "duplicates_served": 0,
    }
    assert [(row["model"], row["cost_micros"]) for row in only["data"]] == [("gpt-image-1", 80_000)]


async def test_what_cannot_be_reported_is_a_400(office: Office) -> None:
    assert await office.refused("GET", "/usage/report", by="planet") == (400, "invalid_value", "by")
    assert await office.refused("GET", "/usage/report", since="yesterday") == (400, "invalid_value", "since")
