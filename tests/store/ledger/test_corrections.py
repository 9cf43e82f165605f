"""Corrections: booked where the request itself is booked, once for a cause, all or nothing."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control.audit import audit
from app.core.intervals import hour_start_ms, local_day
from app.core.limits import Limit
from app.core.request import DEFAULT_RELAY
from app.store.ledger import corrections
from app.store.ledger.columns import Reservation
from app.store.ledger.corrections import Correction, CorrectionRecord, late, post
from tests.store.purchasing import ENDING, NOW_MS, Desk, settlement

ZONE = ZoneInfo("Asia/Shanghai")
BOOKED = settlement(cost_micros=30, images=2, hour_at_ms=hour_start_ms(NOW_MS), day=local_day(NOW_MS, ZONE))


async def limits_of_all_units(desk: Desk) -> list[Limit]:
    return [
        await desk.limit("micros", 1000, scope="organization"),
        await desk.limit("micros", 100),
        await desk.limit("images", 10),
        await desk.limit("requests", 10),
        await desk.limit("in_flight", 10, interval="lifetime"),
    ]


async def dispatched(desk: Desk, *held: Limit) -> Reservation:
    order = await desk.order(*held, quote_micros=30, n=2)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, order.owner, NOW_MS, DEFAULT_RELAY)
    return order


def lower(order: Reservation, cost_micros: int = -10, **given: object) -> Correction:
    base = Correction(order.request_id, "short", "the log says so", "reconciliation", NOW_MS, cost_micros)
    return replace(base, **given)  # type: ignore[arg-type]


async def test_a_correction_is_booked_on_every_counter_and_on_the_roll_up(desk: Desk) -> None:
    held = await limits_of_all_units(desk)
    order = await dispatched(desk, *held)
    await desk.ledger.settle(order.request_id, BOOKED)

    assert await post(desk.database, lower(order, images=-1), ZONE)

    assert [await desk.counter(limit) for limit in held] == [(20, 0), (20, 0), (1, 0), (1, 0), (0, 0)]
    [row] = await desk.usage()
    assert (row["requests"], row["images"], row["cost_micros"]) == (1, 1, 20)
    [kept] = await desk.database.ask(corrections.corrections_of, order.request_id)
    assert kept == CorrectionRecord("short", -10, -1, 0, "the log says so", "reconciliation", NOW_MS)
    assert (await audit(desk.database, ZONE)).differences == ()


async def test_a_released_request_that_was_charged_after_all_is_booked_whole_and_once(desk: Desk) -> None:
    held = await limits_of_all_units(desk)
    order = await dispatched(desk, *held)
    await desk.ledger.release(order.request_id, ENDING)
    found = late(order.request_id, 30, 2, NOW_MS, "its answer turned up")

    assert [await post(desk.database, found, ZONE) for _ in range(2)] == [True, False]

    assert [await desk.counter(limit) for limit in held] == [(30, 0), (30, 0), (2, 0), (1, 0), (0, 0)]
    [row] = await desk.usage()
    assert (row["requests"], row["images"], row["cost_micros"]) == (1, 2, 30)
    assert (await audit(desk.database, ZONE)).differences == ()


@pytest.mark.parametrize("state", ["dispatched", "unknown"])
async def test_a_request_that_has_not_ended_takes_no_correction(desk: Desk, state: str) -> None:
    spend = await desk.limit("micros", 100)
    order = await dispatched(desk, spend)
    if state == "unknown":
        await desk.ledger.give_up(order.request_id, ENDING)

    assert not await post(desk.database, lower(order), ZONE)

    assert await desk.counter(spend) == (0, 30)
    assert await desk.usage() == []


async def test_a_word_without_money_is_only_kept(desk: Desk) -> None:
    spend = await desk.limit("micros", 100)
    order = await dispatched(desk, spend)
    await desk.ledger.give_up(order.request_id, ENDING)

    assert await post(desk.database, lower(order, 0, kind="release"), ZONE, ("unknown",))

    assert await desk.counter(spend) == (0, 30)
    assert await desk.usage() == []


async def test_what_cannot_be_written_whole_is_not_booked(desk: Desk) -> None:
    spend = await desk.limit("micros", 100)
    order = await dispatched(desk, spend)
    await desk.ledger.settle(order.request_id, BOOKED)
    async with desk.database.transaction() as connection:
        await connection.execute(sa.text("ALTER TABLE corrections RENAME TO elsewhere"))
    try:
        with pytest.raises(sa.exc.DBAPIError):
            await post(desk.database, lower(order), ZONE)
    finally:
        async with desk.database.transaction() as connection:
            await connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO corrections"))

    assert await desk.counter(spend) == (30, 0)
