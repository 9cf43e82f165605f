"""Page of usage: whoever looks, its sums are those of the roll-up, in every grouping and in the CSV."""

from datetime import date
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as some

from app.console.charts import stacked
from app.console.pages.usage import DIMENSIONS
from app.console.periods import period_of
from app.store.tables import usage
from tests.console.conftest import House

TODAY = date(2026, 3, 1)


async def booked(house: House, user: str | None = None) -> tuple[int, int, Decimal]:
    columns = [sa.func.sum(usage.c[name]) for name in ("requests", "images", "cost_micros")]
    select: sa.Select[Any] = sa.select(*columns)
    if user is not None:
        select = select.where(usage.c.user_id == house.users[user])
    async with house.running.database.read() as connection:
        requests, images, cost_micros = (await connection.execute(select)).one()
    return int(requests), int(images), Decimal(int(cost_micros)) / 1_000_000


async def test_the_sum_of_every_grouping_is_the_books(house: House) -> None:
    for who, user in (("olga", None), ("rita", None), ("mia", "mia")):
        total = await booked(house, user)
        groupings: list[tuple[str, ...]] = [(name,) for name in DIMENSIONS]
        groupings += combinations(DIMENSIONS, 2)
        for by in groupings:
            rows = await house.csv(f"/usage.csv?period=30d&by={by[0]}&and={by[-1] if len(by) > 1 else ''}", who)
            sums = [sum(Decimal(row[name]) for row in rows) for name in ("requests", "images", "cost")]
            assert tuple(sums) == total, (who, by)
            assert list(rows[0])[: len(by)] == list(by)
        page = (await house.get("/usage?period=30d", who)).text
        assert f"{total[2]:,} CNY" in page


async def test_a_member_sees_their_own_whatever_the_address_says(house: House) -> None:
    rows = await house.csv(f"/usage.csv?period=30d&by=user&user={house.users['mia']}", "max")

    assert {row["user"] for row in rows} == {"max"}
    page = (await house.get("/usage?period=30d&by=user", "max")).text
    assert 'class="part" width="100.0"' in page and 'value="user" selected' in page  # All is theirs.


async def test_a_number_leads_to_the_rows_that_add_up_to_it(house: House) -> None:
    for row in await house.csv("/usage.csv?period=30d&by=model", "olga"):
        parts = await house.csv(f"/usage.csv?period=30d&by=user&and=day&model={row['model']}", "olga")
        assert sum(Decimal(part["cost"]) for part in parts) == Decimal(row["cost"])


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({}, "2026-01-31", "2026-03-01"),
        ({"period": "today"}, "2026-03-01", "2026-03-01"),
        ({"period": "month"}, "2026-03-01", "2026-03-01"),
        ({"period": "last-month"}, "2026-02-01", "2026-02-28"),
        ({"since": "2026-01-05", "until": "2026-01-06"}, "2026-01-05", "2026-01-06"),
        ({"since": "2026-01-07", "until": "2026-01-06"}, "2026-01-31", "2026-03-01"),
        ({"since": "0001-01-01", "until": "9999-12-31"}, "2026-01-31", "2026-03-01"),
        ({"period": "<script>"}, "2026-01-31", "2026-03-01"),
    ],
)
def test_a_period_is_read_from_the_address(query: dict[str, str], first: str, last: str) -> None:
    period = period_of(query, TODAY)

    assert (period.since, period.last.isoformat()) == (first, last)
    assert period_of(period.query, TODAY) == period


@given(
    some.dictionaries(
        some.tuples(some.sampled_from(["2026-02-27", "2026-02-28"]), some.text(max_size=2)),
        some.integers(-5, 10**12),
        max_size=30,
    ),
    some.dictionaries(some.sampled_from(["2026-02-27", "2026-02-28"]), some.integers(-5, 10**12)),
)
def test_a_chart_adds_up_and_stays_within_its_frame(values: dict[tuple[str, str], int], rest: dict[str, int]) -> None:
    chart = stacked(["2026-02-27", "2026-02-28"], values, rest)

    assert sum(chart.sums) == sum(bar.total for bar in chart.bars) == sum(values.values()) + sum(rest.values())
    assert len(chart.names) <= 6
    for bar in chart.bars:
        assert all(part.y >= -0.01 and part.y + part.height <= 100.01 for part in bar.segments)
