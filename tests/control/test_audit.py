"""The audit: silent on a book that adds up, and exact about one that does not."""

from collections.abc import AsyncIterator
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control.audit import Difference, audit, possible_days
from app.core.intervals import hour_start_ms, local_day
from app.core.limits import Limit
from app.core.request import DEFAULT_RELAY
from app.store.engine import Database
from app.store.tables import counters, limits, requests, usage, usage_days, usage_hours, usage_local_days, usage_series
from tests.store.purchasing import ENDING, NOW_MS, Desk, open_ledger, settlement

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with open_ledger(database) as ledger:
        yield Desk(database, ledger)


@pytest.fixture
async def limit(desk: Desk) -> Limit:
    """A user's monthly spend limit, among others, with a request in every state on all of them."""
    spend = await desk.limit("micros", 1000)
    others = [await desk.limit(unit, 100, interval="lifetime") for unit in ("images", "requests", "in_flight")]
    others.append(await desk.limit("micros", 9000, scope="organization"))
    orders = [await desk.order(spend, *others, quote_micros=10, n=2, starts_at_ms=0) for _ in range(6)]
    for order in orders:
        await desk.ledger.reserve(order)
    for order in orders[1:]:
        await desk.ledger.dispatch(order.request_id, order.owner, NOW_MS, DEFAULT_RELAY)
    booked = settlement(cost_micros=7, images=1, hour_at_ms=hour_start_ms(NOW_MS), day=local_day(NOW_MS, ZONE))
    await desk.ledger.settle(orders[2].request_id, booked)
    await desk.ledger.settle(orders[3].request_id, booked)
    await desk.ledger.release(orders[4].request_id, ENDING)
    await desk.ledger.give_up(orders[5].request_id, ENDING)
    return spend


async def change(database: Database, statement: sa.Update | sa.Delete) -> None:
    async with database.transaction() as connection:
        await connection.execute(statement)


async def test_a_book_with_a_request_in_every_state_is_clean(database: Database, limit: Limit) -> None:
    found = await audit(database, ZONE)

    assert found.differences == ()
    assert found.looked_at == {"requests": 6, "corrections": 0, "counters": 5, "usage": 1}


async def test_an_empty_book_is_clean(database: Database) -> None:
    assert (await audit(database, ZONE)).differences == ()


@pytest.mark.parametrize(("column", "expected"), [("spent", 14), ("held", 30)])
async def test_a_counter_that_is_off_by_one_is_named(
    database: Database, limit: Limit, column: str, expected: int
) -> None:
    await change(
        database, sa.update(counters).where(counters.c.limit_id == limit.id).values({column: counters.c[column] + 1})
    )

    [found] = (await audit(database, ZONE)).differences

    assert found == Difference("counter", "monthly spend limit of user user-1 (micros)", column, expected, expected + 1)


@pytest.mark.parametrize("unit", ["images", "requests", "in_flight"])
async def test_counters_of_every_unit_are_checked(database: Database, limit: Limit, unit: str) -> None:
    of_unit = sa.select(limits.c.id).where(limits.c.unit == unit)
    await change(database, sa.update(counters).where(counters.c.limit_id.in_(of_unit)).values(held=99))

    [found] = (await audit(database, ZONE)).differences

    assert found.expected == {"images": 6, "requests": 3, "in_flight": 2}[unit]
    assert unit in found.where


async def test_a_removed_limit_is_checked_too(database: Database, limit: Limit) -> None:
    await change(database, sa.update(limits).values(amount=None))
    await change(database, sa.update(counters).where(counters.c.limit_id == limit.id).values(spent=0))

    [found] = (await audit(database, ZONE)).differences

    assert (found.what, found.expected, found.found) == ("spent", 14, 0)


async def test_a_counter_that_is_gone_is_named(database: Database, limit: Limit) -> None:
    await change(database, sa.delete(counters).where(counters.c.limit_id == limit.id))

    [found] = (await audit(database, ZONE)).differences

    assert (found.what, found.expected, found.found) == ("is missing", 1, 0)


async def test_a_roll_up_that_is_off_is_named_with_its_row(database: Database, limit: Limit) -> None:
    await change(database, sa.update(usage).values(images=usage.c.images + 1))

    [found] = (await audit(database, ZONE)).differences

    assert (found.kind, found.what, found.expected, found.found) == ("usage", "images", 2, 3)
    assert "gpt-image-1" in found.where and "1024x1024" in found.where


@pytest.mark.parametrize(("table", "width"), [(usage_hours, "hour"), (usage_days, "day"), (usage_local_days, "day")])
async def test_a_roll_up_for_reports_that_is_not_what_the_roll_up_adds_up_to_is_named(
    database: Database, limit: Limit, table: sa.Table, width: str
) -> None:
    await change(database, sa.update(table).values(images=table.c.images + 1))

    [found] = (await audit(database, ZONE)).differences

    assert (found.kind, found.what, found.expected, found.found) == ("usage", "images", 2, 3)
    assert found.where.startswith(f"{width} ") and "gpt-image-1" in found.where


async def test_a_number_of_a_roll_up_that_nobody_knows_is_found(database: Database, limit: Limit) -> None:
    await change(database, sa.update(usage_series).values(id=usage_series.c.id + 1000))

    found = (await audit(database, ZONE)).differences

    assert {(each.expected, each.found) for each in found if each.what == "images"} == {(2, 0), (0, 2)}


@pytest.mark.parametrize("table", [usage_hours, usage_days, usage_local_days])
async def test_whatever_happens_to_the_roll_up_happens_to_those_for_reports(
    database: Database, limit: Limit, table: sa.Table
) -> None:
    await change(database, sa.update(usage).values(images=usage.c.images + 5))
    async with database.read() as connection:
        assert (await connection.execute(sa.select(table.c.images))).scalars().all() == [7]

    await change(database, sa.delete(usage))
    async with database.read() as connection:
        assert (await connection.execute(sa.select(table.c.images))).scalars().all() == [0]


@pytest.mark.parametrize("lost", ["request", "row"])
async def test_what_only_one_side_has_is_found(database: Database, limit: Limit, lost: str) -> None:
    await change(
        database, sa.delete(usage) if lost == "row" else sa.delete(requests).where(requests.c.state == "settled")
    )

    found = {each.what: (each.expected, each.found) for each in (await audit(database, ZONE)).differences}

    assert found["requests"] == ((2, 0) if lost == "row" else (0, 2))
    assert found["cost_micros"] == ((14, 0) if lost == "row" else (0, 14))


async def test_a_row_under_a_day_that_its_hour_is_never_part_of_is_named(database: Database, limit: Limit) -> None:
    await change(database, sa.update(usage).values(day="2026-01-01"))

    *of_days, found = (await audit(database, ZONE)).differences

    assert "2026-01-01" in found.what
    assert {each.where.partition(",")[0] for each in of_days} == {"day 2026-01-01", f"day {local_day(NOW_MS, ZONE)}"}


async def test_a_changed_timezone_is_no_difference(database: Database, limit: Limit) -> None:
    assert (await audit(database, ZoneInfo("America/Los_Angeles"))).differences == ()


def test_the_days_of_an_hour_span_every_timezone() -> None:
    assert possible_days(1_795_276_800_000) == ("2026-11-21", "2026-11-22")  # 16:00 UTC on the 21st
