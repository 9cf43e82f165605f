"""Comparison of counters and usage with requests and corrections. The database sums and returns only the differences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import DAY_MS, HOUR_MS
from app.core.limits import Limit
from app.store.ledger.columns import HOLDS, SPENDS
from app.store.ledger.sums import held_sql, spent_sql
from app.store.tables import (
    corrections,
    counters,
    limits,
    projects,
    requests,
    usage,
    usage_days,
    usage_hours,
    usage_local_days,
    usage_series,
    users,
)

SUMS = ("requests", "images", "cost_micros", "input_tokens", "output_tokens")
_KEY = ("hour_at_ms", "project_id", "user_id", "api_key_id", "model", "operation", "size", "quality")
_SERIES = ("project_id", "user_id", "api_key_id", "model", "operation", "size")


@dataclass(frozen=True, slots=True)
class CounterDifference:
    """Counter that differs from its requests. `limit` is None for a counter that requests name and that does not exist."""

    counter_id: int
    limit: Limit | None
    starts_at_ms: int | None
    spent_expected: int
    spent_found: int
    held_expected: int
    held_found: int


@dataclass(frozen=True, slots=True)
class UsageDifference:
    """Row of a roll-up that differs. `key` and the sums are by column name; days of one hour are summed together."""

    key: dict[str, Any]
    expected: dict[str, int]
    found: dict[str, int]


async def counter_differences(connection: AsyncConnection) -> list[CounterDifference]:
    """List counters whose spent or held differs from the sum of their requests and corrections."""
    due = _due(connection.dialect.name)
    spent, held = sa.func.coalesce(due.c.spent, 0), sa.func.coalesce(due.c.held, 0)
    select = (
        _LIMITS.add_columns(
            sa.func.coalesce(counters.c.id, due.c.counter_id).label("counter_id"),
            counters.c.starts_at_ms,
            spent.label("spent_expected"),
            sa.func.coalesce(counters.c.spent, 0).label("spent_found"),
            held.label("held_expected"),
            sa.func.coalesce(counters.c.held, 0).label("held_found"),
        )
        .select_from(
            counters.join(due, due.c.counter_id == counters.c.id, full=True)
            .outerjoin(limits, limits.c.id == counters.c.limit_id)
            .outerjoin(projects, sa.and_(limits.c.scope == "project", projects.c.id == limits.c.scope_id))
            .outerjoin(users, sa.and_(limits.c.scope == "user", users.c.id == limits.c.scope_id))
        )
        .where(
            sa.or_(counters.c.id.is_(None), counters.c.spent != spent, counters.c.held != held),
        )
        .order_by("counter_id")
    )
    return [_counter_difference(row) for row in (await connection.execute(select)).mappings()]


async def usage_differences(connection: AsyncConnection) -> list[UsageDifference]:
    """List rows of the hourly roll-up that differ from the settled requests and corrections of their hour.

    Days of one hour are summed together: the day of an hour depends on the timezone configured at the time.
    """
    return await _differing(connection, _KEY, _booked("settled"), _corrected(), _found(usage, _KEY))


async def rolled_up_differences(connection: AsyncConnection) -> list[UsageDifference]:
    """List rows of the roll-ups by UTC hour, UTC day and local day that differ from the sum of the first roll-up."""
    at_ms = usage.c.hour_at_ms
    return [
        *await _rolled_up(connection, usage_hours, (at_ms - at_ms % HOUR_MS).label("hour_at_ms")),
        *await _rolled_up(connection, usage_days, (at_ms - at_ms % DAY_MS).label("day_at_ms")),
        *await _rolled_up(connection, usage_local_days, usage.c.day, usage.c.quality),
    ]


async def _rolled_up(connection: AsyncConnection, table: sa.Table, starts: Any, *more: Any) -> list[UsageDifference]:
    own = tuple(str(column.name) for column in (starts, *more))
    key, names = [starts, *more, *usage.c[_SERIES]], (*own, *_SERIES)
    expected = sa.select(*key, *_sides("expected", [sa.func.sum(usage.c[name]) for name in SUMS])).group_by(*key)
    # An outer join: a row with an unknown series has no key, and so differs.
    joined = table.outerjoin(usage_series, usage_series.c.id == table.c.series_id)
    columns = [*table.c[own], *usage_series.c[_SERIES], *_sides("found", [table.c[name] for name in SUMS])]
    return await _differing(connection, names, expected, sa.select(*columns).select_from(joined))


async def _differing(
    connection: AsyncConnection, key_names: Sequence[str], *sides: sa.Select[Any]
) -> list[UsageDifference]:
    both = sa.union_all(*sides).subquery()
    sums = {
        (side, name): sa.cast(sa.func.sum(sa.case((both.c.side == side, both.c[name]), else_=0)), sa.BigInteger)
        for side in ("expected", "found")
        for name in SUMS
    }
    key = [both.c[name] for name in key_names]
    select = (
        sa.select(*key, *(amount.label(f"{side}_{name}") for (side, name), amount in sums.items()))
        .group_by(*key)
        .having(sa.or_(*(sums["expected", name] != sums["found", name] for name in SUMS)))
        .order_by(*key)
    )
    return [_usage_difference(row, key_names) for row in (await connection.execute(select)).mappings()]


async def hours_and_days(connection: AsyncConnection) -> list[tuple[int, str]]:
    """List each hour of the roll-up with each day that it is booked under."""
    select = sa.select(usage.c.hour_at_ms, usage.c.day).distinct().order_by(usage.c.hour_at_ms, usage.c.day)
    return [(hour, day) for hour, day in await connection.execute(select)]


async def sizes(connection: AsyncConnection) -> dict[str, int]:
    """Count the rows of each kind that an audit looks at."""
    tables = {"requests": requests, "corrections": corrections, "counters": counters, "usage": usage}
    counts = [sa.select(sa.func.count()).select_from(table).scalar_subquery() for table in tables.values()]
    return dict(zip(tables, (await connection.execute(sa.select(*counts))).one(), strict=True))


_OWNER = sa.func.coalesce(projects.c.name, users.c.name, limits.c.scope_id, "")
_LIMITS = sa.select(*limits.c, _OWNER.label("owner"))


def _due(dialect: str) -> sa.Subquery:
    """Select the expected spent and held of each counter, in its limit's unit, from its requests and corrections."""
    parts = sa.union_all(_requests_by_counter(dialect), _corrections_by_counter(dialect)).subquery()
    by_counter = sa.select(parts.c.counter_id, *(sa.func.sum(parts.c[name]).label(name) for name in _AMOUNTS)).group_by(
        parts.c.counter_id
    )
    due = by_counter.subquery()

    def of_unit(kind: str, units: Iterable[str]) -> sa.ColumnElement[int]:
        amounts = {unit: due.c[f"{kind}_{unit}"] for unit in units}
        return sa.cast(sa.case(amounts, value=limits.c.unit, else_=0), sa.BigInteger).label(kind)

    joined = due.outerjoin(counters, counters.c.id == due.c.counter_id).outerjoin(
        limits, limits.c.id == counters.c.limit_id
    )
    select = sa.select(due.c.counter_id, of_unit("spent", SPENDS), of_unit("held", HOLDS)).select_from(joined)
    return select.subquery()


_AMOUNTS = (*(f"spent_{unit}" for unit in SPENDS), *(f"held_{unit}" for unit in HOLDS))


def _requests_by_counter(dialect: str) -> sa.Select[Any]:
    counter = _counter_of_request(dialect)
    amounts = [
        *(sa.literal_column(spent_sql("requests", "requests.state", f"'{unit}'"), sa.BigInteger) for unit in SPENDS),
        *(sa.literal_column(held_sql("requests", "requests.state", f"'{unit}'"), sa.BigInteger) for unit in HOLDS),
    ]
    return _summed(counter.c.value, amounts).select_from(requests.join(counter, sa.true())).group_by(counter.c.value)


def _corrections_by_counter(dialect: str) -> sa.Select[Any]:
    counter, zero = _counter_of_request(dialect), sa.literal(0)
    amounts = (corrections.c.cost_micros, corrections.c.images, corrections.c.requests, *([zero] * len(HOLDS)))
    joined = corrections.join(requests, requests.c.id == corrections.c.request_id).join(counter, sa.true())
    return _summed(counter.c.value, amounts).select_from(joined).group_by(counter.c.value)


def _summed(counter_id: Any, amounts: Any) -> sa.Select[Any]:
    sums = [sa.func.sum(amount).label(name) for name, amount in zip(_AMOUNTS, amounts, strict=True)]
    return sa.select(counter_id.label("counter_id"), *sums)


def _counter_of_request(dialect: str) -> sa.FromClause:
    """Make one row for each counter id of a request."""
    if dialect == "postgresql":
        column = sa.column("value", sa.BigInteger)
        return sa.func.unnest(requests.c.counter_ids).table_valued(column).render_derived().lateral()
    return sa.func.json_each(requests.c.counter_ids).table_valued(sa.column("value", sa.Integer))


def _booked(state: str) -> sa.Select[Any]:
    amounts = (sa.func.count(), *(sa.func.sum(sa.func.coalesce(requests.c[name], 0)) for name in SUMS[1:]))
    return _of_hours("expected", amounts).where(requests.c.state == state)


def _corrected() -> sa.Select[Any]:
    amounts = (*(sa.func.sum(corrections.c[name]) for name in SUMS[:3]), sa.literal(0), sa.literal(0))
    joined = corrections.join(requests, requests.c.id == corrections.c.request_id)
    return _of_hours("expected", amounts).select_from(joined)


def _of_hours(side: str, amounts: Any) -> sa.Select[Any]:
    at_ms = requests.c.reserved_at_ms
    key = [
        (at_ms - at_ms % HOUR_MS).label("hour_at_ms"),
        *(requests.c[name] for name in _KEY[1:6]),
        sa.func.coalesce(requests.c.size, "").label("size"),
        sa.func.coalesce(requests.c.quality, "").label("quality"),
    ]
    grouped = [sa.text(str(place)) for place in range(1, len(key) + 1)]
    return sa.select(*key, *_sides(side, amounts)).group_by(*grouped)


def _found(table: sa.Table, key_names: Sequence[str]) -> sa.Select[Any]:
    key = [table.c[name] for name in key_names]
    return sa.select(*key, *_sides("found", [sa.func.sum(table.c[name]) for name in SUMS])).group_by(*key)


def _sides(side: str, amounts: Any) -> list[sa.ColumnElement[Any]]:
    named = [sa.cast(amount, sa.BigInteger).label(name) for name, amount in zip(SUMS, amounts, strict=True)]
    return [sa.literal(side).label("side"), *named]


def _counter_difference(row: sa.RowMapping) -> CounterDifference:
    known = {name: row[name] for name in Limit.__slots__}
    limit = None if row["unit"] is None else Limit(**{**known, "amount": known["amount"] or 0})
    own = {name: row[name] for name in CounterDifference.__slots__ if name != "limit"}
    return CounterDifference(limit=limit, **own)


def _usage_difference(row: sa.RowMapping, key_names: Sequence[str]) -> UsageDifference:
    expected, found = ({name: int(row[f"{side}_{name}"]) for name in SUMS} for side in ("expected", "found"))
    return UsageDifference({name: row[name] for name in key_names}, expected, found)
