"""Pace of spending against a limit: what would be fair by now, and when the limit is used up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from app.control.limits import LimitState
from app.core.intervals import DAY_MS, bounds_ms
from app.core.money import HUNDREDTH_MICROS

RECENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Pace:
    """Use of a limit of money in its interval, in micros. `fair_micros` is the part of the limit that belongs to the time that
    has passed, and `per_day_micros` that of one day; None for a lifetime. `used_up_ms` (Unix ms) is when it is used up at the pace
    of the last days, None where it lasts until it resets. `resets_ms` is None for a lifetime."""

    amount_micros: int
    used_micros: int
    fair_micros: int | None
    per_day_micros: int | None
    used_up_ms: int | None
    resets_ms: int | None


def pace_of(state: LimitState, recent_micros: int, now_ms: int, zone: ZoneInfo) -> Pace:
    """Compute the pace of a limit from what a recent day costs on average."""
    starts_ms, ends_ms = bounds_ms(state.limit.interval, now_ms, zone)
    amount, used = state.limit.amount, (state.spent or 0) + (state.held or 0)
    left = amount - used
    used_up_ms = None
    if left <= 0:
        used_up_ms = now_ms
    elif recent_micros > 0:
        used_up_ms = now_ms + left * DAY_MS // recent_micros
    if ends_ms is None:
        return Pace(amount, used, None, None, used_up_ms, None)
    whole_ms = ends_ms - starts_ms
    lasts = used_up_ms is not None and used_up_ms >= ends_ms
    return Pace(
        amount,
        used,
        fair_micros=_hundredths(amount * (now_ms - starts_ms) // whole_ms),
        per_day_micros=_hundredths(amount * DAY_MS // whole_ms),
        used_up_ms=None if lasts else used_up_ms,
        resets_ms=ends_ms,
    )


def _hundredths(amount_micros: int) -> int:
    """Round down to hundredths of the currency: what is only a guide needs no more."""
    return amount_micros - amount_micros % HUNDREDTH_MICROS


def recent_micros(costs: Mapping[str, int], today: date) -> int:
    """Average the cost of the last days, today included, from costs by local day; days before the first cost do not count."""
    days = [(today - timedelta(days=back)).isoformat() for back in range(RECENT_DAYS)]
    spent = [costs.get(day, 0) for day in days]
    counted = max((at + 1 for at, cost in enumerate(spent) if cost), default=0)
    return sum(spent) // counted if counted else 0


def shown_limit(states: list[LimitState]) -> LimitState | None:
    """Choose the organization's limit of money to show: that of the month, else the longest; None without one for all models."""
    money = {state.limit.interval: state for state in states if state.limit.unit == "micros" and not state.limit.model}
    return next((money[name] for name in ("month", "lifetime", "week", "day") if name in money), None)
