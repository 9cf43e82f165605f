"""Intervals of limits in the configured timezone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, get_args
from zoneinfo import ZoneInfo

Interval = Literal["minute", "day", "week", "month", "lifetime"]
"""Interval of a limit. `minute` is for rates, which are not counted in the database; the others are for counters."""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

COUNTED: tuple[Interval, ...] = get_args(Interval)[1:]


def bounds_ms(interval: Interval, at_ms: int, zone: ZoneInfo) -> tuple[int, int | None]:
    """Return start (inclusive) and end (exclusive) of the interval that contains `at_ms`; a lifetime starts at 0, without an end.

    A day is the local calendar day, so it may last 23 or 25 hours; a week starts on Monday.
    """
    return (0, None) if interval == "lifetime" else _bounds_ms(interval, at_ms // MINUTE_MS, zone)


def local_day(at_ms: int, zone: ZoneInfo) -> str:
    """Return the local day that contains `at_ms`, such as `2026-11-21`."""
    return _local_day(at_ms // MINUTE_MS, zone)


def hour_start_ms(at_ms: int) -> int:
    """Return the start of the UTC hour that contains `at_ms`."""
    return at_ms - at_ms % HOUR_MS


def hour_end_ms(at_ms: int) -> int:
    """Round a time up to the full UTC hour."""
    return -(-at_ms // HOUR_MS) * HOUR_MS


def iso(at_ms: int, zone: ZoneInfo) -> str:
    """Return ISO 8601 with the zone's offset, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, zone).isoformat()


# Every request needs the bounds. Days begin at whole minutes in all timezones, so they are computed once a minute.
@lru_cache(maxsize=128)
def _bounds_ms(interval: Interval, minute: int, zone: ZoneInfo) -> tuple[int, int]:
    start = _start(interval, datetime.fromtimestamp(minute * 60, zone))
    return _ms(start), _ms(_next(interval, start))


@lru_cache(maxsize=128)
def _local_day(minute: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(minute * 60, zone).date().isoformat()


def _start(interval: Interval, local: datetime) -> datetime:
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    match interval:
        case "day":
            return midnight
        case "week":
            return midnight - timedelta(days=midnight.weekday())
        case "month":
            return midnight.replace(day=1)
        case _:
            raise AssertionError(f"{interval} has no counter")


def _next(interval: Interval, start: datetime) -> datetime:
    match interval:
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case _:
            return (start + timedelta(days=32)).replace(day=1)


def _ms(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp() * 1000)
