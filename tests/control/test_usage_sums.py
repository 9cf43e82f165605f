"""Sums of reports over random books that the ledger itself wrote: every grouping adds up to the requests and their corrections."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control.audit import audit
from app.control.usage import DIMENSIONS, SERIES_MAX, overview, report, total_of
from app.core.intervals import HOUR_MS, hour_start_ms, local_day
from app.core.request import DEFAULT_RELAY
from app.store.engine import Database
from app.store.ledger.corrections import Correction, late, post
from app.store.tables import corrections, requests
from app.store.usage import Dimension, Sums, UsageSpan
from tests.store.purchasing import ENDING, NOW_MS, Desk, open_ledger, settlement

ZONE = ZoneInfo("Asia/Shanghai")
SPAN = UsageSpan("2026-11-01", "2026-12-31")
MANY = SERIES_MAX + 3
"""Models, more than a chart has series."""


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with open_ledger(database) as ledger:
        yield Desk(database, ledger)


async def random_book(desk: Desk, chance: random.Random, count: int = 60) -> None:
    """Settle requests of a week, some released ones late, and correct some."""
    for _ in range(count):
        at_ms = NOW_MS + chance.randrange(7 * 24) * HOUR_MS + chance.randrange(HOUR_MS)
        names: dict[str, Any] = {
            "model": f"model-{chance.randrange(MANY)}",
            "user_id": f"user-{chance.randrange(4)}",
            "api_key_id": f"key_{chance.randrange(5)}",
            "project_id": f"proj_{chance.randrange(3)}",
            "operation": chance.choice(["generation", "edit"]),
            "size": chance.choice([None, "1024x1024", "1536x1024"]),
            "quality": chance.choice([None, "low", "high"]),
        }
        order = await desk.order(reserved_at_ms=at_ms, quote_micros=chance.randrange(1, 10**9), **names)
        await desk.ledger.reserve(order)
        await desk.ledger.dispatch(order.request_id, order.owner, at_ms, DEFAULT_RELAY)
        if chance.random() < 0.2:
            await desk.ledger.release(order.request_id, ENDING)
            assert await post(desk.database, late(order.request_id, order.quote_micros, 1, at_ms, "charged"), ZONE)
            continue
        place = {"hour_at_ms": hour_start_ms(at_ms), "day": local_day(at_ms, ZONE)}
        tokens = {"input_tokens": chance.randrange(99), "output_tokens": chance.randrange(999)}
        booked = settlement(chance.randrange(order.quote_micros + 1), chance.randrange(1, 5), **place, **tokens)
        await desk.ledger.settle(order.request_id, replace(booked, quality=chance.choice([None, "medium"])))
        if chance.random() < 0.3:
            lower = Correction(order.request_id, "short", "fewer", "test", at_ms, -chance.randrange(10**9), -1)
            assert await post(desk.database, lower, ZONE)


async def ledger_total(database: Database) -> Sums:
    """Sum the book itself."""
    columns = [sa.func.coalesce(sa.func.sum(requests.c[name]), 0) for name in Sums.__slots__[1:]]
    settled = sa.select(sa.func.count(), *columns).where(requests.c.state == "settled")
    added = sa.select(*(sa.func.coalesce(sa.func.sum(corrections.c[name]), 0) for name in Sums.__slots__[:3]))
    async with database.read() as connection:
        booked = Sums(*map(int, (await connection.execute(settled)).one()))
        return booked + Sums(*map(int, (await connection.execute(added)).one()))


@pytest.mark.parametrize("seed", range(3))
async def test_every_grouping_of_a_random_book_adds_up_to_the_ledger(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    await random_book(desk, chance)
    total = await ledger_total(desk.database)
    groupings: list[tuple[Dimension, ...]] = [
        (),
        *((name,) for name in DIMENSIONS),
        *combinations(DIMENSIONS, 2),
        DIMENSIONS,
    ]

    for by in groupings:
        assert (await report(desk.database, by)).total == total, by
    for by in groupings[1:]:
        shown = await overview(desk.database, by, SPAN, 1000)
        assert (shown.total, total_of(shown.rows)) == (total, total), by
        assert sum(cost for _, cost, _ in shown.days) == total.cost_micros
    assert (await audit(desk.database, ZONE)).differences == ()


@pytest.mark.parametrize("seed", range(2))
async def test_the_values_of_a_dimension_share_the_whole(desk: Desk, seed: int) -> None:
    chance = random.Random(seed)
    await random_book(desk, chance, 30)

    for name in DIMENSIONS:
        whole = await report(desk.database, (name,))
        for row in whole.rows:
            part = await report(desk.database, ("day", "quality"), only={name: row.names[0][1]})
            assert part.total == row.sums, row


async def test_a_page_shows_the_first_rows_of_a_table_and_the_total_of_all(desk: Desk) -> None:
    await random_book(desk, random.Random(7))
    everything = await report(desk.database, ("day", "model"))

    shown = await overview(desk.database, ("day", "model"), SPAN, 5)

    assert shown.rows == everything.rows[:5] and shown.is_cut
    assert shown.total == await ledger_total(desk.database)
    assert len(shown.series) == SERIES_MAX - 1
