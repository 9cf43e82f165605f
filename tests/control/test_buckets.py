"""Usage by time: where buckets begin and end, and that nothing is lost whatever it is grouped by."""

import asyncio
from itertools import chain, combinations
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest

from app.control.audit import audit
from app.control.buckets import Period, UsageBucket, Width, read_buckets
from app.core.intervals import hour_start_ms, local_day
from app.core.request import DEFAULT_RELAY
from app.errors import InvalidValue
from app.store.buckets import Field, UsageFilter
from app.store.engine import Database
from app.store.ledger.corrections import Correction, late, post
from app.store.usage import Sums
from tests.databases import insert_request, insert_usage
from tests.store.purchasing import ENDING, Desk, open_ledger, settlement

ZONE = ZoneInfo("Asia/Shanghai")
DAY_S, HOUR_S = 86_400, 3600
START_S = 1_796_083_200
"""A midnight of UTC."""
FIELDS: tuple[Field, ...] = get_args(Field)


async def buckets(database: Database, period: Period, wanted: UsageFilter | None = None) -> list[UsageBucket]:
    """All pages."""
    page = await read_buckets(database, period, wanted or UsageFilter())
    found = list(page.buckets)
    while page.next_page is not None:
        period = Period(period.start_s, period.end_s, period.width, period.buckets_max, page.next_page)
        page = await read_buckets(database, period, wanted or UsageFilter())
        found += page.buckets
    return found


def total(found: list[UsageBucket]) -> Sums:
    return sum((portion.sums for bucket in found for portion in bucket.portions), Sums())


def times(found: list[UsageBucket]) -> list[tuple[int, int]]:
    return [(bucket.start_ms // 1000 - START_S, bucket.end_ms // 1000 - START_S) for bucket in found]


async def test_days_are_those_of_utc_and_the_first_and_last_show_what_they_really_cover(database: Database) -> None:
    found = await buckets(database, Period(START_S + 5 * HOUR_S + 100, START_S + 2 * DAY_S + 1, "1d", 31))

    assert times(found) == [(5 * HOUR_S, DAY_S), (DAY_S, 2 * DAY_S), (2 * DAY_S, 2 * DAY_S + HOUR_S)]


async def test_usage_is_in_the_bucket_that_says_so(database: Database) -> None:
    for hour in (4, 5, 23, 24, 48, 49):
        await insert_usage(
            database, hour_at_ms=(START_S + hour * HOUR_S) * 1000, cost_micros=10**hour if hour < 9 else 1
        )

    found = await buckets(database, Period(START_S + 5 * HOUR_S, START_S + 49 * HOUR_S, "1d", 31))

    assert [[portion.sums.requests for portion in bucket.portions] for bucket in found] == [[2], [1], [1]]
    assert total(found).cost_micros == 100_003


async def test_pages_together_are_the_whole(database: Database) -> None:
    for hour in range(0, 240, 7):
        await insert_usage(database, hour_at_ms=(START_S + hour * HOUR_S) * 1000)
    whole = await buckets(database, Period(START_S + HOUR_S, START_S + 10 * DAY_S, "1d", 31))

    for size in (1, 3, 10):
        assert await buckets(database, Period(START_S + HOUR_S, START_S + 10 * DAY_S, "1d", size)) == whole


async def test_without_an_end_the_last_bucket_is_the_one_that_holds_now(database: Database) -> None:
    now_s = await database.now_ms() // 1000

    found = await buckets(database, Period(now_s - 2 * HOUR_S, None, "1h", 168))

    assert len(found) == 3
    assert found[-1].start_ms // 1000 <= now_s < found[-1].end_ms // 1000


async def test_a_period_of_no_time_is_empty(database: Database) -> None:
    for end_s in (START_S, START_S - DAY_S):
        page = await read_buckets(database, Period(START_S, end_s, "1m", 60, "page"), UsageFilter())
        assert (page.buckets, page.next_page) == ((), None)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "page", ["", "page", "page_", "page_x", f"page_{START_S + 1}", f"page_{START_S}", "page_" + "9" * 40]
)
async def test_a_page_of_another_question_is_refused(database: Database, page: str) -> None:
    with pytest.raises(InvalidValue):
        await read_buckets(database, Period(START_S, START_S + DAY_S, "1h", 24, page), UsageFilter())


async def test_filters_leave_what_has_one_of_the_values_in_each_field(database: Database) -> None:
    for number in range(8):
        row: dict[str, Any] = {"model": f"m{number % 2}", "user_id": f"user-{number % 4}", "size": "1x1"}
        await insert_usage(database, **row, hour_at_ms=START_S * 1000 + number, cost_micros=10**number)
    period = Period(START_S, START_S + DAY_S, "1d", 1)

    async def costs(**only: Any) -> int:
        return total(await buckets(database, period, UsageFilter(**only))).cost_micros

    assert await costs(only={"model": ("m1",), "user_id": ("user-1", "user-2")}) == 100_010
    assert await costs(only={"size": ("2x2",)}) == 0
    assert await costs(items=(("m0", "generation"), ("m1", "edit"))) == 1_010_101


@pytest.mark.parametrize("width", get_args(Width))
async def test_the_dearest_come_first_and_equals_by_their_values(database: Database, width: Width) -> None:
    for number, (model, cost_micros) in enumerate([("b", 5), ("c", 9), ("d", 5), ("a", 5)]):
        row: dict[str, Any] = {"model": model, "cost_micros": cost_micros}
        await insert_usage(database, hour_at_ms=START_S * 1000, **row)
        request: dict[str, Any] = {
            "id": f"req_{number}",
            "reserved_at_ms": START_S * 1000,
            "state": "settled",
            "images": 1,
        }
        await insert_request(database, "user-1", "key_1", **row, **request)

    [bucket] = await buckets(database, Period(START_S, START_S + 60, width, 1), UsageFilter(("model",)))

    assert [portion.values for portion in bucket.portions] == [("c",), ("a",), ("b",), ("d",)]


@pytest.mark.parametrize("by", [(), ("model",)])
async def test_tokens_are_summed_for_those_who_ask(database: Database, by: tuple[Field, ...]) -> None:
    for quality in ("low", "high"):
        await insert_usage(database, quality=quality, hour_at_ms=START_S * 1000, input_tokens=30, output_tokens=400)
    period = Period(START_S, START_S + DAY_S, "1d", 1)

    assert total(await buckets(database, period, UsageFilter(by, with_tokens=True))) == Sums(2, 2, 2_000_000, 60, 800)
    assert total(await buckets(database, period, UsageFilter(by))) == Sums(2, 2, 2_000_000)


async def test_two_who_are_the_first_to_use_something_are_both_counted(database: Database) -> None:
    await asyncio.gather(*(insert_usage(database, quality=str(number), size="9x9") for number in range(8)))

    found = await buckets(database, Period(0, HOUR_S, "1h", 1), UsageFilter(("size",)))

    assert [portion for bucket in found for portion in bucket.portions] == [(("9x9",), Sums(8, 8, 8_000_000))]


@pytest.fixture
async def booked(database: Database) -> Sums:
    """A day of settled requests, unfinished ones, and corrections of every kind, by the real books."""
    async with open_ledger(database) as ledger:
        desk = Desk(database, ledger)
        for number in range(24):
            at_ms = START_S * 1000 + number * 3_577_321
            about: dict[str, Any] = {
                "model": ("gpt-image-1", "seedream-3.0")[number % 2],
                "operation": ("generation", "edit")[number % 3 == 0],
                "size": (None, "1024x1024", "512x512")[number % 3],
            }
            order = await desk.order(quote_micros=1000 + number, n=2, reserved_at_ms=at_ms, **about)
            await ledger.reserve(order)
            await ledger.dispatch(order.request_id, order.owner, at_ms, DEFAULT_RELAY)
            booked = settlement(
                cost_micros=1000 + number, images=2, hour_at_ms=hour_start_ms(at_ms), day=local_day(at_ms, ZONE)
            )
            if number % 6 == 5:
                await ledger.release(order.request_id, ENDING)
                if number % 12 == 5:
                    assert await post(database, late(order.request_id, 777, 1, at_ms, "it was charged"), ZONE)
            else:
                await ledger.settle(order.request_id, booked)
                if number % 6 == 4:
                    less = Correction(order.request_id, "short", "one came", "test", at_ms, cost_micros=-500, images=-1)
                    assert await post(database, less, ZONE)
        assert (await audit(database, ZONE)).differences == ()
    return Sums(22, 38, sum(1000 + number for number in range(24) if number % 6 != 5) + 2 * 777 - 4 * 500)


@pytest.mark.parametrize("width", get_args(Width))
async def test_every_grouping_of_every_width_sums_to_the_same_total_to_the_micro(
    database: Database, booked: Sums, width: Width
) -> None:
    groupings = chain.from_iterable(combinations(FIELDS, count) for count in range(len(FIELDS) + 1))

    for by in groupings:
        found = await buckets(database, Period(START_S, START_S + DAY_S, width, 1440), UsageFilter(by))
        sums = total(found)
        assert (sums.requests, sums.images, sums.cost_micros) == (booked.requests, booked.images, booked.cost_micros), (
            by
        )
        assert all(len(portion.values) == len(by) for bucket in found for portion in bucket.portions)


async def test_minutes_hours_and_days_tell_the_same(database: Database, booked: Sums) -> None:
    by: tuple[Field, ...] = ("model", "operation", "size")
    told: list[dict[Any, int]] = []
    for width in get_args(Width):
        found = await buckets(database, Period(START_S, START_S + DAY_S, width, 1440), UsageFilter(by))
        sums: dict[Any, int] = {}
        for bucket in found:
            for portion in bucket.portions:
                sums[portion.values] = sums.get(portion.values, 0) + portion.sums.cost_micros
        told.append(sums)

    assert told[0] == told[1] == told[2]
    assert len(told[0]) == 6


async def test_what_has_not_been_paid_for_is_in_no_minute(database: Database) -> None:
    await insert_request(database, "user-1", "key_1", reserved_at_ms=START_S * 1000, state="unknown")

    assert total(await buckets(database, Period(START_S, START_S + 60, "1m", 60))) == Sums()
