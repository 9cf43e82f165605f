"""Limits as words of the command line and of files of people: `spend/month=10.00 images/day=20 requests/minute=6 concurrent=2`."""

import re

from app.core.intervals import Interval
from app.core.limits import Unit
from app.core.money import hundredths_micros
from app.errors import InvalidValue

EXAMPLE = "spend/month=10.00 images/day=20 requests/minute=6 concurrent=2"
_UNITS: dict[str, Unit] = {"spend": "micros", "images": "images", "requests": "requests", "concurrent": "in_flight"}
_INTERVALS: dict[str, Interval] = {name: name for name in ("minute", "day", "week", "month", "lifetime")}
_SEPARATORS = re.compile(r"[\s;,]+")


def parse_limits(text: str) -> dict[tuple[Unit, Interval], int]:
    """Parse limits like EXAMPLE, with spaces, commas or semicolons between: amounts (money in micros) by unit and interval.
    Raises InvalidValue for a word that is no limit and a limit that is given twice."""
    found: dict[tuple[Unit, Interval], int] = {}
    for word in filter(None, _SEPARATORS.split(text)):
        unit, interval, amount = _limit(word)
        if (unit, interval) in found:
            raise InvalidValue(f"{word[:80]!r} names a limit for the second time; give each once.", param="limits")
        found[unit, interval] = amount
    return found


def parse_amount(unit: Unit, text: str) -> int:
    """Parse the amount of a limit: money with at most two decimal places, in micros, or a whole number. Raises ValueError."""
    if unit == "micros":
        return hundredths_micros(text)
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ValueError(f"{text[:20]!r} is not a whole number")
    return int(text)


def _limit(word: str) -> tuple[Unit, Interval, int]:
    name, _, amount = word.partition("=")
    counted, _, per = name.lower().partition("/")
    unit = _UNITS.get(counted)
    interval = "lifetime" if unit == "in_flight" and not per else _INTERVALS.get(per)
    try:
        if unit is None or interval is None:
            raise ValueError("not a limit")
        return unit, interval, parse_amount(unit, amount)
    except ValueError as exc:
        raise InvalidValue(f"{word[:80]!r}: {exc}; write limits like {EXAMPLE}.", param="limits") from None
