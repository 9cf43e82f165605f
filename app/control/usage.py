"""Usage reports: requests, images, tokens and cost by any dimensions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.dates import day, start_of_day_ms
from app.control.names import quoted
from app.errors import InvalidValue
from app.store import usage as store
from app.store.duplicates import Names, duplicates_report
from app.store.engine import Database
from app.store.usage import Dimension, DuplicateSums, Sums, UsageRow, UsageSpan

UTC = ZoneInfo("UTC")
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
SERIES_MAX = 6
"""Most series of a chart, with the one of all others."""


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage by dimensions, with a total. Days are those of the configured timezone at the time of each request."""

    by: tuple[Dimension, ...]
    rows: tuple[UsageRow, ...]
    total: Sums
    duplicates: DuplicateSums


@dataclass(frozen=True, slots=True)
class UsageOverview:
    """Usage of a period for a page: the first rows of a table by dimensions (`is_cut`: there are more), the total of all, and the
    cost of each day. `series` has name and id of the dearest values of `series_dimension`; an entry of `days` is a local day, the
    cost of all in micros, and that of each of the series. `chosen` names the values of the filter."""

    by: tuple[Dimension, ...]
    rows: tuple[UsageRow, ...]
    is_cut: bool
    total: Sums
    series_dimension: Dimension
    series: tuple[tuple[str, str], ...]
    days: tuple[tuple[str, int, tuple[int, ...]], ...]
    chosen: Mapping[Dimension, str]


async def report(
    database: Database,
    by: Sequence[str],
    since: str | None = None,
    until: str | None = None,
    zone: ZoneInfo = UTC,
    only: Mapping[Dimension, str] | None = None,
) -> UsageReport:
    """Sum settled requests by dimensions; `since` is inclusive, `until` exclusive, days like `2026-12-01` in `zone`. `only` selects
    values of dimensions (ids of projects, users and keys); such a report, also for an empty `only`, leaves duplicates out.

    Raises InvalidValue.
    """
    dimensions = _dimensions(by)
    since, since_ms = _bound(since, "since", zone)
    until, until_ms = _bound(until, "until", zone)
    if since is not None and until is not None and since >= until:
        message = f"Nothing lies between since {since} and until {until}: the day of until is not part of the report."
        raise InvalidValue(message, param="until")
    async with database.read() as connection:
        rows = await store.report(connection, dimensions, UsageSpan(since, until, only or {}))
        repeated = await duplicates_report(connection, dimensions, since_ms, until_ms, zone) if only is None else {}
    duplicates = sum(repeated.values(), DuplicateSums())
    return UsageReport(dimensions, tuple(_merged(rows, repeated, dimensions)), total_of(rows), duplicates)


def _bound(text: str | None, field: str, zone: ZoneInfo) -> tuple[str | None, int | None]:
    return (None, None) if text is None else (day(text, field), start_of_day_ms(text, field, zone))


def _merged(
    rows: Sequence[UsageRow], repeated: Mapping[Names, DuplicateSums], by: Sequence[Dimension]
) -> list[UsageRow]:
    """Add duplicates to the rows of their groups. A group in which everything was served gets a row of its own."""
    merged = [replace(row, duplicates=repeated.get(row.names, row.duplicates)) for row in rows]
    known = {row.names for row in rows}
    merged += [UsageRow(names, Sums(), sums) for names, sums in repeated.items() if names not in known]
    if "day" in by:
        at = list(by).index("day")
        merged.sort(key=lambda row: row.names[at])
    return merged


async def overview(database: Database, by: Sequence[Dimension], span: UsageSpan, rows_max: int) -> UsageOverview:
    """Read what a page about a period shows, in one snapshot. `span` has both bounds.

    Days are read apart from the other dimensions: a month of 1,000 people has a hundred thousand groups by day and a few thousand
    without it.
    """
    groups = tuple(name for name in by if name != "day") or ("model",)
    async with database.read() as connection:
        found = await store.report(connection, groups, span)
        series = _dearest(found)
        days = await store.daily_costs(connection, groups[0], [id for _, id in series], span)
        rows = await _first_days(connection, by, span, rows_max) if "day" in by else found
        # Only where there is usage: a member learns no name of what they never used.
        chosen = await store.names_of(connection, span.only) if found else span.only
    shown, is_cut = tuple(rows[:rows_max]), len(rows) > rows_max
    return UsageOverview(tuple(by), shown, is_cut, total_of(found), groups[0], series, tuple(days), chosen)


def total_of(rows: Sequence[UsageRow]) -> Sums:
    return Sums(*(sum(getattr(row.sums, name) for row in rows) for name in Sums.__slots__))


def sums_of(rows: Sequence[UsageRow], at: int) -> list[UsageRow]:
    """Sum rows by their dimension number `at` alone, the dearest first; without duplicates."""
    sums: dict[tuple[str, str], Sums] = defaultdict(Sums)
    for row in rows:
        sums[row.names[at]] += row.sums
    ranked = sorted(sums.items(), key=lambda item: (-item[1].cost_micros, item[0]))
    return [UsageRow((name,), found) for name, found in ranked]


def _dearest(rows: Sequence[UsageRow]) -> tuple[tuple[str, str], ...]:
    """Return name and id of the values of the first dimension that cost most: all of them if they are few."""
    ranked = [row.names[0] for row in sums_of(rows, 0)]
    return tuple(ranked if len(ranked) <= SERIES_MAX else ranked[: SERIES_MAX - 1])


async def _first_days(
    connection: AsyncConnection, by: Sequence[Dimension], span: UsageSpan, rows_max: int
) -> list[UsageRow]:
    """Read the rows of the first days, as many as it takes for more than `rows_max` rows."""
    assert span.since is not None and span.until is not None
    rows: list[UsageRow] = []
    start, end, width = date.fromisoformat(span.since), date.fromisoformat(span.until), 1
    while start < end and len(rows) <= rows_max:
        following = min(start + timedelta(days=width), end)
        part = replace(span, since=start.isoformat(), until=following.isoformat())
        rows += await store.report(connection, by, part)
        start, width = following, width * 2
    return rows


def _dimensions(by: Sequence[str]) -> tuple[Dimension, ...]:
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        message = f"A report is by {', '.join(DIMENSIONS)}; not by {', '.join(map(quoted, unknown))}."
        raise InvalidValue(message, param="by")
    wanted = dict.fromkeys(by)
    return tuple(sorted((name for name in DIMENSIONS if name in wanted), key=list(wanted).index))
