"""The money of a request: every promise on SQLite and on PostgreSQL."""

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa

from app.core.limits import Unit
from app.core.request import DEFAULT_RELAY
from app.store.ledger.types import LimitExceeded, Reserved, Room, Stale
from app.store.tables import limits
from tests.store.purchasing import ENDING, NOW_MS, Desk, settlement


async def test_a_reservation_holds_on_every_counter_and_writes_its_row(desk: Desk) -> None:
    spend, images = await desk.limit("micros", 100), await desk.limit("images", 5, interval="day")
    requests, flight = (
        await desk.limit("requests", 3, interval="week"),
        await desk.limit("in_flight", 2, interval="lifetime"),
    )
    order = await desk.order(spend, images, requests, flight, quote_micros=30, n=2)

    assert await desk.ledger.reserve(order) == Reserved()

    held = [await desk.counter(limit) for limit in (spend, images, requests, flight)]
    assert held == [(0, 30), (0, 2), (0, 1), (0, 1)]
    row = await desk.row(order.request_id)
    assert row is not None
    assert (row["state"], row["owner"], row["quote_micros"], row["reserved_at_ms"]) == (
        "reserved",
        "proc_1",
        30,
        NOW_MS,
    )
    assert len(row["counter_ids"]) == 4


async def test_a_request_without_any_limit_is_reserved(desk: Desk) -> None:
    assert await desk.ledger.reserve(await desk.order()) == Reserved()


@pytest.mark.parametrize(
    ("unit", "amount", "needed"), [("micros", 29, 30), ("images", 1, 2), ("requests", 0, 1), ("in_flight", 0, 1)]
)
async def test_a_refusal_names_the_tight_limit_and_changes_nothing(
    desk: Desk, unit: Unit, amount: int, needed: int
) -> None:
    roomy, tight = await desk.limit("micros", 1000, scope="organization"), await desk.limit(unit, amount)
    order = await desk.order(roomy, tight, quote_micros=30, n=2)

    outcome = await desk.ledger.reserve(order)

    assert outcome == LimitExceeded(order.counter_keys[1], needed=needed, left=amount)
    assert await desk.counter(roomy) == await desk.counter(tight) == (0, 0)
    assert await desk.row(order.request_id) is None


async def test_an_order_on_older_control_data_is_stale_and_changes_nothing(desk: Desk) -> None:
    spend = await desk.limit("micros", 100)
    assert await desk.ledger.reserve(await desk.order(spend)) == Reserved()  # It opens the counter.
    held, order = await desk.counter(spend), await desk.order(spend)
    await desk.limit("images", 5)

    assert await desk.ledger.reserve(order) == Stale()

    assert await desk.row(order.request_id) is None
    assert await desk.counter(spend) == held


async def test_concurrent_reservations_never_exceed_a_limit(desk: Desk) -> None:
    spend = await desk.limit("micros", 200)
    orders = [await desk.order(spend, quote_micros=10) for _ in range(60)]

    outcomes = await asyncio.gather(*map(desk.ledger.reserve, orders))

    assert outcomes.count(Reserved()) == 20
    assert await desk.counter(spend) == (0, 200)


async def test_a_new_interval_opened_by_many_at_once_is_one_counter(desk: Desk) -> None:
    spend = await desk.limit("micros", 400)
    orders = [await desk.order(spend, quote_micros=10, starts_at_ms=NOW_MS) for _ in range(50)]

    outcomes = await asyncio.gather(*map(desk.ledger.reserve, orders))

    assert outcomes.count(Reserved()) == 40
    assert await desk.counter(spend, NOW_MS) == (0, 400)


async def test_only_the_owner_of_an_open_row_may_dispatch_it(desk: Desk) -> None:
    order = await desk.order(response_format="b64_json", asked_model="house", prompt="a cat")
    await desk.ledger.reserve(order)

    async def dispatch(owner: str, relay: str) -> bool:
        return await desk.ledger.dispatch(order.request_id, owner, NOW_MS, relay)

    assert not await dispatch("proc_2", "elsewhere")
    assert await dispatch("proc_1", DEFAULT_RELAY)
    assert await dispatch("proc_1", "second"), "a mark of unknown fate may be set again"
    await desk.ledger.release(order.request_id, ENDING)
    assert not await dispatch("proc_1", "elsewhere")
    row = await desk.row(order.request_id)
    assert row is not None
    assert [row[name] for name in ("relay", "response_format", "asked_model", "prompt")] == [
        "second",
        "b64_json",
        "house",
        "a cat",
    ]


@pytest.mark.parametrize(("came", "spent"), [(3, 3), (2, 2), (1, 2), (0, 2)])
async def test_an_image_limit_spends_the_larger_of_the_images_asked_for_and_those_that_came(
    desk: Desk, came: int, spent: int
) -> None:
    images = await desk.limit("images", 2)
    order = await desk.order(images, quote_micros=30, n=2)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)

    rooms = await desk.ledger.settle(order.request_id, settlement(25, came))

    assert rooms == [Room("images", 2 - spent)]
    assert await desk.counter(images) == (spent, 0)


async def test_a_settlement_books_once_however_often_it_is_tried(desk: Desk) -> None:
    spend, images = await desk.limit("micros", 100), await desk.limit("images", 5)
    flight = await desk.limit("in_flight", 2, interval="lifetime")
    order = await desk.order(spend, images, flight, quote_micros=30, n=2)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)
    booked = settlement(25, 2, size="1536x1024", quality="high", input_tokens=7, output_tokens=9)

    rooms = await desk.ledger.settle(order.request_id, booked)
    again = await desk.ledger.settle(order.request_id, booked)

    assert rooms is not None
    assert sorted(rooms, key=lambda room: room.unit) == [Room("images", 3), Room("in_flight", 2), Room("micros", 75)]
    assert again is None
    assert [await desk.counter(limit) for limit in (spend, images, flight)] == [(25, 0), (2, 0), (0, 0)]
    row = await desk.row(order.request_id)
    assert row is not None
    assert (row["state"], row["cost_micros"], row["images"], row["size"]) == ("settled", 25, 2, "1536x1024")
    [rolled] = await desk.usage()
    assert (rolled["requests"], rolled["images"], rolled["cost_micros"], rolled["input_tokens"]) == (1, 2, 25, 7)
    assert (rolled["size"], rolled["quality"], rolled["day"]) == ("1536x1024", "high", "2026-11-21")


async def test_roll_ups_of_equal_requests_add_up(desk: Desk) -> None:
    for _ in range(3):
        order = await desk.order()
        await desk.ledger.reserve(order)
        await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)
        await desk.ledger.settle(order.request_id, settlement(8, 1, output_tokens=5))

    [rolled] = await desk.usage()

    assert (rolled["requests"], rolled["images"], rolled["cost_micros"], rolled["output_tokens"]) == (3, 3, 24, 15)


async def test_a_cost_above_the_quote_is_booked_all_the_same(desk: Desk) -> None:
    spend = await desk.limit("micros", 40)
    order = await desk.order(spend, quote_micros=30)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)

    rooms = await desk.ledger.settle(order.request_id, settlement(50))

    assert rooms == [Room("micros", -10)]
    assert await desk.counter(spend) == (50, 0)


async def test_a_reserved_row_cannot_be_settled(desk: Desk) -> None:
    spend = await desk.limit("micros", 40)
    order = await desk.order(spend, quote_micros=30)
    await desk.ledger.reserve(order)

    assert await desk.ledger.settle(order.request_id, settlement()) is None

    assert await desk.counter(spend) == (0, 30)


@pytest.mark.parametrize("dispatched", [False, True])
async def test_a_release_gives_every_hold_back_and_books_nothing(desk: Desk, dispatched: bool) -> None:
    spend, flight = await desk.limit("micros", 40), await desk.limit("in_flight", 1, interval="lifetime")
    order = await desk.order(spend, flight, quote_micros=30)
    await desk.ledger.reserve(order)
    if dispatched:
        await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)

    assert await desk.ledger.release(
        order.request_id, replace(ENDING, http_status=400, error_code="moderation_blocked")
    )
    assert not await desk.ledger.release(order.request_id, ENDING)

    assert await desk.counter(spend) == await desk.counter(flight) == (0, 0)
    row = await desk.row(order.request_id)
    assert row is not None
    assert (row["state"], row["error_code"], row["cost_micros"]) == ("released", "moderation_blocked", None)
    assert await desk.usage() == []


async def test_a_release_from_other_states_or_of_another_owner_changes_nothing(desk: Desk) -> None:
    spend = await desk.limit("micros", 40)
    order = await desk.order(spend, quote_micros=30)
    await desk.ledger.reserve(order)

    assert not await desk.ledger.release(order.request_id, ENDING, ("dispatched",))
    assert not await desk.ledger.release(order.request_id, ENDING, ("reserved",), "proc_2")

    assert await desk.counter(spend) == (0, 30)


async def test_an_unknown_outcome_keeps_the_money_held_and_frees_its_place_in_flight(desk: Desk) -> None:
    spend, images = await desk.limit("micros", 40), await desk.limit("images", 4)
    flight = await desk.limit("in_flight", 1, interval="lifetime")
    order = await desk.order(spend, images, flight, quote_micros=30, n=2)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)

    assert await desk.ledger.give_up(order.request_id, ENDING)
    assert not await desk.ledger.give_up(order.request_id, ENDING)

    assert [await desk.counter(limit) for limit in (spend, images, flight)] == [(0, 30), (0, 2), (0, 0)]


@pytest.mark.parametrize("settles", [False, True])
async def test_an_unknown_outcome_that_becomes_known_leaves_nothing_held(desk: Desk, settles: bool) -> None:
    spend, flight = await desk.limit("micros", 40), await desk.limit("in_flight", 1, interval="lifetime")
    order = await desk.order(spend, flight, quote_micros=30)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)
    await desk.ledger.give_up(order.request_id, ENDING)

    if settles:
        assert await desk.ledger.settle(order.request_id, settlement(25)) is not None
    else:
        assert await desk.ledger.release(order.request_id, ENDING)

    assert await desk.counter(spend) == ((25, 0) if settles else (0, 0))
    assert await desk.counter(flight) == (0, 0)


async def test_what_was_reserved_in_one_interval_is_booked_there_when_it_settles_in_the_next(desk: Desk) -> None:
    spend = await desk.limit("micros", 100, interval="day")
    order = await desk.order(spend, quote_micros=30, starts_at_ms=0)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)
    tomorrow = await desk.order(spend, quote_micros=100, starts_at_ms=86_400_000)
    assert await desk.ledger.reserve(tomorrow) == Reserved()

    await desk.ledger.settle(order.request_id, settlement(30))

    assert await desk.counter(spend, 0) == (30, 0)
    assert await desk.counter(spend, 86_400_000) == (0, 100)


async def test_a_lowered_limit_refuses_the_next_and_books_the_last(desk: Desk) -> None:
    spend = await desk.limit("micros", 100)
    order = await desk.order(spend, quote_micros=60)
    await desk.ledger.reserve(order)
    await desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, DEFAULT_RELAY)
    async with desk.database.transaction() as connection:
        await connection.execute(sa.update(limits).where(limits.c.id == spend.id).values(amount=50))

    refused = await desk.ledger.reserve(await desk.order(spend, quote_micros=1))
    rooms = await desk.ledger.settle(order.request_id, settlement(60))

    assert isinstance(refused, LimitExceeded)
    assert refused.left == -10
    assert rooms == [Room("micros", -10)]
    assert await desk.counter(spend) == (60, 0)
