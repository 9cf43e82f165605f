"""Usage reports: requests, images, tokens and cost by any dimensions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args
from zoneinfo import ZoneInfo

from app.control.dates import day, start_of_day_ms
from app.control.names import quoted
from app.errors import InvalidValue
from app.store import usage as store
from app.store.duplicates import Names, duplicates_report
from app.store.engine import Database
from app.store.usage import Dimension, DuplicateSums, Sums, UsageRow

UTC = ZoneInfo("UTC")
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Usage by dimensions, with a total. Days are those of the configured timezone at the time of each request."""

    by: tuple[Dimension, ...]
    rows: tuple[UsageRow, ...]
    total: Sums
    duplicates: DuplicateSums


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
        rows = await store.report(connection, dimensions, since, until, only or {})
        repeated = await duplicates_report(connection, dimensions, since_ms, until_ms, zone) if only is None else {}
    total, duplicates = sum((row.sums for row in rows), Sums()), sum(repeated.values(), DuplicateSums())
    return UsageReport(dimensions, tuple(_merged(rows, repeated, dimensions)), total, duplicates)


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


def regrouped(found: UsageReport, by: Sequence[Dimension]) -> UsageReport:
    """Sum a report by some of its dimensions, without reading the roll-up again. Duplicates are left out. Rows are sorted as those
    of `report`."""
    places = [found.by.index(name) for name in by]
    sums: dict[Names, Sums] = {}
    for row in found.rows:
        names = tuple(row.names[place] for place in places)
        sums[names] = sums.get(names, Sums()) + row.sums
    days = [list(by).index("day")] if "day" in by else []
    rows = [UsageRow(names, total) for names, total in sums.items()]
    rows.sort(key=lambda row: ([row.names[at] for at in days], -row.sums.cost_micros, [id for _, id in row.names]))
    return UsageReport(tuple(by), tuple(rows), found.total, DuplicateSums())


def _dimensions(by: Sequence[str]) -> tuple[Dimension, ...]:
    unknown = [name for name in by if name not in DIMENSIONS]
    if unknown:
        message = f"A report is by {', '.join(DIMENSIONS)}; not by {', '.join(map(quoted, unknown))}."
        raise InvalidValue(message, param="by")
    wanted = dict.fromkeys(by)
    return tuple(sorted((name for name in DIMENSIONS if name in wanted), key=list(wanted).index))
