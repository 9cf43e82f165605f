"""Parsers of dates, instants and durations that people write."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app.control.names import quoted
from app.errors import InvalidValue

HOUR_MS = 3_600_000
DAYS_MAX = 36_500
_DURATION = re.compile(r"([1-9][0-9]{0,6})([hd])", re.ASCII)
_UNIT_MS = {"h": HOUR_MS, "d": 24 * HOUR_MS}


def day(text: str, field: str) -> str:
    """Parse a day like `2026-12-01`. Raises InvalidValue."""
    return _date(text, field).isoformat()


def start_of_day_ms(text: str, field: str, zone: ZoneInfo) -> int:
    """Parse a day; returns its start in the timezone. Raises InvalidValue."""
    midnight = datetime.combine(_date(text, field), time(), zone)
    return int(midnight.astimezone(UTC).timestamp() * 1000)


def named_day(text: str, zone: ZoneInfo) -> str:
    """Return the date of `today` or `yesterday` in the timezone, and any other text as it is."""
    days_ago = {"today": 0, "yesterday": 1}.get(text)
    return text if days_ago is None else (datetime.now(zone).date() - timedelta(days=days_ago)).isoformat()


def moment_ms(text: str, field: str, zone: ZoneInfo) -> int:
    """Parse `today`, `yesterday` or a day (its start), or a time like `2026-12-01T08:00`, by default in the timezone.

    Returns Unix ms. Raises InvalidValue.
    """
    try:
        found = datetime.fromisoformat(named_day(text, zone))
    except ValueError:
        found = None
    if found is None or not 2000 <= found.year <= 2999:
        forms = "today, yesterday, 2026-12-01, 2026-12-01T08:00 or 2026-12-01T08:00+08:00"
        raise InvalidValue(f"{quoted(text)} is not a time; write {forms}.", param=field)
    return round((found if found.tzinfo else found.replace(tzinfo=zone)).timestamp() * 1000)


def instant_ms(text: str, field: str) -> int:
    """Parse an instant like `2026-12-01T08:00:00+08:00`, with an offset. Raises InvalidValue."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 2000 <= found.year <= 2999:
        raise InvalidValue(f"{quoted(text)} is not an instant like 2026-12-01T08:00:00+08:00.", param=field)
    return round(found.timestamp() * 1000)


def expiry_ms(text: str, now_ms: int, zone: ZoneInfo) -> int:
    """Parse an expiry: `90d` or `12h` from now, or the start of a day like `2026-12-31`. Raises InvalidValue, also for the past."""
    if (duration := _DURATION.fullmatch(text)) is not None:
        at_ms = now_ms + int(duration[1]) * _UNIT_MS[duration[2]]
    else:
        at_ms = start_of_day_ms(text, "expires", zone)
    if not now_ms < at_ms <= now_ms + DAYS_MAX * 24 * HOUR_MS:
        raise InvalidValue(
            f"The key would expire at {quoted(text)}, which must lie ahead, by at most {DAYS_MAX} days. Leave it out for a "
            "key that does not expire.",
            param="expires",
        )
    return at_ms


def duration_s(text: str, field: str) -> int:
    """Parse a duration like `90d`, `12h` or `0h`; returns seconds. Raises InvalidValue."""
    if text in ("0h", "0d"):
        return 0
    if (found := _DURATION.fullmatch(text)) is None:
        raise InvalidValue(f"{quoted(text)} is not a time like 7d or 24h.", param=field)
    return int(found[1]) * _UNIT_MS[found[2]] // 1000


def _date(text: str, field: str) -> date:
    try:
        if len(text) != 10:  # The standard parser also takes 20261201 and 2026-W49-2.
            raise ValueError
        found = date.fromisoformat(text)
    except ValueError:
        also = " or a time from now like 90d or 12h" if field == "expires" else ""
        raise InvalidValue(f"{quoted(text)} is not a date like 2026-12-01{also}.", param=field) from None
    if not 2000 <= found.year <= 2999:
        raise InvalidValue(f"{text} is out of range; dates go from 2000-01-01 to 2999-12-31.", param=field)
    return found
