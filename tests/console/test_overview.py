"""Overview: numbers of the book, what needs a look, and the pace of spending against the organization's limit."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.console.pace import pace_of, recent_micros, shown_limit
from app.control.limits import LimitState
from app.core.intervals import DAY_MS, Interval
from app.core.limits import Limit
from app.store.tables import drift, models, usage
from tests.console.conftest import House
from tests.console.test_requests import add_unknown
from tests.databases import insert

UTC, UNIT = ZoneInfo("UTC"), 1_000_000
NOON_MS = 1_794_960_000_000 + DAY_MS // 2
"""Noon of 18 November 2026: 17.5 days of the month have passed, and 12.5 are to come."""


async def test_it_shows_the_sums_of_the_book_and_leads_to_their_rows(house: House) -> None:
    text = (await house.get("/overview?period=30d", "rita")).text

    async with house.running.database.read() as connection:
        total = (await connection.execute(sa.select(sa.func.sum(usage.c.cost_micros)))).scalar_one()
    assert f"{int(total) / 1_000_000:,.6f}".rstrip("0") + " CNY" in text
    assert 'href="/console/requests?outcome=booked&amp;period=30d"' in text
    assert 'class="part" width="100.0"' in text  # Who spends most.
    assert f'href="/console/requests?outcome=booked&amp;user={house.users["mia"]}&amp;period=30d"' in text


async def test_it_names_what_needs_a_look_and_leads_there(house: House) -> None:
    database, now_ms = house.running.database, house.running.gateway.clock.now_ms()
    before = (await house.get("/overview", "olga")).text
    await add_unknown(house)
    async with database.write() as connection:
        new = {"id": "new-model", "operations": ["generation"], "sizes": [], "qualities": []}
        await connection.execute(sa.insert(models).values(**new, refuses_response_format=0, created_at_ms=1))
    row = {"relay": "default", "day": "2026-11-20", "model": "a", "measured_at_ms": now_ms, "billed_points": 1}
    await insert(database, drift, row | {"booked_micros": 1_000_000, "billed_micros": 2_000_000})

    text = (await house.get("/overview", "olga")).text

    assert "unknown outcome" not in before and "new-model" not in before and "bill differs" not in before
    assert 'href="/console/requests?outcome=unknown"' in text and "1.00 CNY held" in text
    assert "new-model" in text and "1.00 CNY booked, 2.00 CNY billed" in text
    assert 'href="/console/keys?limit=none"' in text
    keys = (await house.get("/keys?limit=none", "olga")).text
    assert "laptop" not in keys and "<td" in keys  # Mia has a limit, Max has none.
    await house.running.limit("organization", "", "micros", "month", 1_000_000)
    assert "no limit holds for" not in (await house.get("/overview", "olga")).text
    assert "used up" in (await house.get("/overview", "olga")).text
    assert "<td" not in (await house.get("/keys?limit=none", "olga")).text


async def test_it_names_the_relay_that_has_a_problem(house: House) -> None:
    before = (await house.get("/overview", "olga")).text
    headers = {"Authorization": f"Bearer {house.keys['mia'].key}"}
    body = {"model": "gpt-image-1", "prompt": "a fox [[sandbox error=unauthorized]]"}
    assert (await house.http.post("/v1/images/generations", json=body, headers=headers)).status_code == 502

    text = (await house.get("/overview", "olga")).text

    assert "Relays with a problem" not in before
    assert 'href="/console/relays"' in text and "Relays with a problem <b>1</b>" in text
    assert "default: The relay refuses our key" in text


def state(amount: int, spent: int, interval: Interval = "month", unit: str = "micros", model: str = "") -> LimitState:
    limit = Limit(1, "organization", "", "", model, unit, interval, amount)  # type: ignore[arg-type]  # a unit
    return LimitState(limit, spent, 0, amount - spent, None)


@pytest.mark.parametrize(
    ("amount", "spent", "per_day", "days_left"),
    [(300, 175, 10, 12.5), (300, 176, 10, None), (300, 174, 10, None), (300, 100, 0, None), (300, 300, 0, 0)],
)
def test_a_limit_is_used_up_where_the_pace_leads(
    amount: int, spent: int, per_day: int, days_left: float | None
) -> None:
    pace = pace_of(state(amount * UNIT, spent * UNIT), per_day * UNIT, NOON_MS, UTC)

    if spent == 175:  # Exactly at its end.
        assert pace.used_up_ms is None
    elif days_left is None:
        assert (pace.used_up_ms is not None) == (spent == 176)
    else:
        assert pace.used_up_ms == NOON_MS
    assert pace.fair_micros == 175 * UNIT and pace.per_day_micros == 10 * UNIT


def test_a_lifetime_has_no_fair_pace_but_an_end() -> None:
    pace = pace_of(state(300, 100, "lifetime"), 100, NOON_MS, UTC)

    assert (pace.fair_micros, pace.resets_ms, pace.used_up_ms) == (None, None, NOON_MS + 2 * DAY_MS)


def test_the_pace_is_that_of_the_last_days_with_a_cost() -> None:
    costs = {"2026-11-10": 1000, "2026-11-15": 30, "2026-11-18": 10}

    assert recent_micros(costs, date(2026, 11, 18)) == 10  # Four days.
    assert recent_micros({}, date(2026, 11, 18)) == 0


def test_the_limit_of_the_month_is_shown_first() -> None:
    day, month, image = state(1, 0, "day"), state(2, 0), state(3, 0, unit="images")

    assert shown_limit([image, day, state(4, 0, model="a"), month]) == month
    assert shown_limit([image, day]) == day
    assert shown_limit([image]) is None
