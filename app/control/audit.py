"""Audit of the book: recomputes counters and usage from requests and corrections, and lists what differs."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from app.core.intervals import iso
from app.core.limits import Limit
from app.store import audit as store
from app.store.audit import CounterDifference, UsageDifference
from app.store.engine import Database


@dataclass(frozen=True, slots=True)
class Difference:
    """Counter or row of usage that differs from requests and corrections. `where` names it; `what` is the amount, in its unit."""

    kind: str
    where: str
    what: str
    expected: int
    found: int


@dataclass(frozen=True, slots=True)
class Audit:
    """Result of an audit. `looked_at` counts the rows of each kind."""

    differences: tuple[Difference, ...]
    looked_at: dict[str, int]


async def audit(database: Database, zone: ZoneInfo) -> Audit:
    """Recompute every counter and every row of the roll-ups from requests and corrections, in one snapshot. Changes nothing."""
    async with database.read() as connection:
        counters = await store.counter_differences(connection)
        rows = [*await store.usage_differences(connection), *await store.rolled_up_differences(connection)]
        days = await store.hours_and_days(connection)
        looked_at = await store.sizes(connection)
    found = [*_of_counters(counters, zone), *_of_rows(rows, zone), *_of_days(days, zone)]
    return Audit(tuple(found), looked_at)


def possible_days(hour_at_ms: int) -> tuple[str, str]:
    """Return the first and last local day that an instant of this hour can belong to in any timezone."""
    hour = datetime.fromtimestamp(hour_at_ms / 1000, UTC)
    return (hour - timedelta(hours=12)).date().isoformat(), (hour + timedelta(hours=15)).date().isoformat()


def _of_counters(differing: list[CounterDifference], zone: ZoneInfo) -> list[Difference]:
    found = []
    for each in differing:
        where = _name(each.counter_id, each.limit, each.starts_at_ms, zone)
        if each.limit is None:
            found.append(Difference("counter", where, "is missing", 1, 0))
        if each.spent_expected != each.spent_found:
            found.append(Difference("counter", where, "spent", each.spent_expected, each.spent_found))
        if each.held_expected != each.held_found:
            found.append(Difference("counter", where, "held", each.held_expected, each.held_found))
    return found


def _name(counter_id: int, limit: Limit | None, starts_at_ms: int | None, zone: ZoneInfo) -> str:
    if limit is None:
        return f"counter {counter_id}"
    since = f" from {iso(starts_at_ms, zone)}" if starts_at_ms else ""
    return f"{limit.label} ({limit.unit}){since}"


def _of_rows(differing: list[UsageDifference], zone: ZoneInfo) -> list[Difference]:
    return [
        Difference("usage", _row_name(row.key, zone), name, row.expected[name], row.found[name])
        for row in differing
        for name in store.SUMS
        if row.expected[name] != row.found[name]
    ]


def _row_name(key: dict[str, Any], zone: ZoneInfo) -> str:
    starts, *names = key
    named = ", ".join(str(key[name]) for name in names if key[name])
    when = key[starts] if starts == "day" else iso(key[starts], zone)
    return f"{starts.removesuffix('_at_ms')} {when}, {named}"


def _of_days(days: list[tuple[int, str]], zone: ZoneInfo) -> list[Difference]:
    found = []
    for hour_at_ms, day in days:
        first, last = possible_days(hour_at_ms)
        if not first <= day <= last:
            where = f"hour {iso(hour_at_ms, zone)}"
            found.append(Difference("usage", where, f"is booked under {day}, which it is not part of,", 0, 1))
    return found
