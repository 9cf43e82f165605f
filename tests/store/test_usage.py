"""Reports over the roll-up by local day."""

from app.store import organization, usage
from app.store.engine import Database
from app.store.organization import User
from app.store.usage import Sums, UsageRow, UsageSpan
from tests.databases import insert_usage


async def report(
    database: Database, *by: usage.Dimension, since: str | None = None, until: str | None = None
) -> list[UsageRow]:
    return await database.ask(usage.report, by, UsageSpan(since, until))


async def test_the_dearest_come_first(database: Database) -> None:
    await insert_usage(database, model="cheap", cost_micros=1)
    await insert_usage(database, model="dear", cost_micros=5, requests=2, images=3, input_tokens=7, output_tokens=9)
    await insert_usage(database, model="dear", hour_at_ms=3_600_000, cost_micros=5)

    assert await report(database, "model") == [
        UsageRow((("dear", "dear"),), Sums(3, 4, 10, 7, 9)),
        UsageRow((("cheap", "cheap"),), Sums(1, 1, 1, 0, 0)),
    ]


async def test_people_and_projects_have_a_name_and_an_id(database: Database) -> None:
    async with database.write() as connection:
        await organization.insert_user(connection, User("user-1", "lin", None, 1))
    await insert_usage(database, user_id="user-1")
    await insert_usage(database, user_id="user-gone", cost_micros=1)

    found = [row.names for row in await report(database, "user", "project")]

    default = ("default", "proj_default")
    assert found == [(("lin", "user-1"), default), (("user-gone", "user-gone"), default)]


async def test_days_come_in_order_and_until_is_exclusive(database: Database) -> None:
    for number, cost in (("20", 3), ("21", 9), ("22", 1), ("23", 5)):
        await insert_usage(database, day=f"2026-11-{number}", cost_micros=cost)

    found = await report(database, "day", since="2026-11-21", until="2026-11-23")

    assert [(row.names[0][0], row.sums.cost_micros) for row in found] == [("2026-11-21", 9), ("2026-11-22", 1)]


async def test_every_combination_of_dimensions_adds_up_to_the_same(database: Database) -> None:
    for number in range(8):
        row = {"user_id": f"user-{number % 2}", "size": f"{number % 4}", "quality": "high" if number > 5 else ""}
        await insert_usage(database, **row, hour_at_ms=number, cost_micros=number)
    combinations: list[list[usage.Dimension]] = [
        [],
        ["user"],
        ["size", "quality"],
        ["quality", "day", "user", "key", "project", "operation", "model", "size"],
    ]

    totals = [sum((row.sums for row in await report(database, *by)), Sums()) for by in combinations]

    assert totals == [Sums(8, 8, 28, 0, 0)] * 4


async def test_an_empty_book_gives_no_rows(database: Database) -> None:
    assert await report(database) == []
    assert await report(database, "model") == []
