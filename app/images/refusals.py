"""Refusals by a limit. Their messages name the limit, what is left, when it resets and what to do."""

from collections.abc import Sequence
from typing import TypeVar
from zoneinfo import ZoneInfo

from app.core.intervals import bounds_ms, iso
from app.core.limits import Limit, Unit
from app.core.money import decimal_text
from app.errors import GatewayError, InsufficientQuota, NeverWithinRate, RateLimited
from app.rates import RateState, RateVerdict
from app.store.ledger.types import LimitExceeded

IN_FLIGHT_RETRY_AFTER_S = 5
Refusal = TypeVar("Refusal", bound=GatewayError)


def quota_refusal(refused: LimitExceeded, at_ms: int, zone: ZoneInfo, currency: str) -> RateLimited | InsufficientQuota:
    """Make the error for a request that a counter has no room for at `at_ms` (Unix ms)."""
    limit = refused.key.limit
    if limit.unit == "in_flight":
        message = f"The {limit.label} ({limit.amount}) is reached: wait until one of your requests has finished."
        return _with_limit(limit.label, RateLimited(message, type="in_flight", retry_after_s=IN_FLIGHT_RETRY_AFTER_S))
    end_ms = bounds_ms(limit.interval, at_ms, zone)[1]
    resets = f"resets {iso(end_ms, zone)}" if end_ms is not None else "never resets"
    left = amount_text(limit.unit, max(refused.left, 0), currency)
    message = (
        f"The {limit.label} has {left} left of {amount_text(limit.unit, limit.amount, currency)} ({resets}); this request "
        f"may need {amount_text(limit.unit, refused.needed, currency)}. Your administrator can raise the limit."
    )
    return _with_limit(limit.label, InsufficientQuota(message, headers=_reset_header(limit, end_ms, at_ms)))


def rate_refusal(verdict: RateVerdict, n: int) -> RateLimited:
    """Make the error for a request of `n` images that a rate has no room for."""
    assert verdict.refused is not None
    limit, headers = verdict.refused.limit, rate_headers(verdict.states)
    if limit.unit == "images" and n > limit.amount:
        message = f"The {limit.label} is {limit.amount}; this request asks for {n}. Ask for fewer images at once."
        return _with_limit(limit.label, NeverWithinRate(message, type=limit.unit, headers=headers))
    message = f"The {limit.label} ({limit.amount}) is reached. Try again in {verdict.retry_after_s} s."
    refusal = RateLimited(message, type=limit.unit, retry_after_s=verdict.retry_after_s, headers=headers)
    return _with_limit(limit.label, refusal)


def rate_headers(states: Sequence[RateState]) -> dict[str, str]:
    """Headers `x-ratelimit-*` of the tightest rate of each unit; reset in whole seconds, written as OpenAI does: `12s`."""
    headers = {}
    for state in sorted(states, key=lambda state: -state.remaining):  # The tightest is written last, and stays.
        unit = state.limit.unit
        headers[f"x-ratelimit-limit-{unit}"] = str(state.limit.amount)
        headers[f"x-ratelimit-remaining-{unit}"] = str(state.remaining)
        headers[f"x-ratelimit-reset-{unit}"] = f"{-(-state.reset_s // 1):.0f}s"
    return headers


def amount_text(unit: Unit, amount: int, currency: str) -> str:
    """Amount in words: `0.40 CNY`, `1 image`, `3 requests`."""
    if unit == "micros":
        return f"{decimal_text(amount)} {currency}"
    return f"{amount} {unit.removesuffix('s') if amount == 1 else unit}"


def _with_limit(label: str, refusal: Refusal) -> Refusal:
    refusal.limit = label
    return refusal


def _reset_header(limit: Limit, end_ms: int | None, at_ms: int) -> dict[str, str]:
    if end_ms is None:
        return {}
    unit = "images" if limit.unit == "images" else "requests"
    return {f"x-ratelimit-reset-{unit}": f"{max(0, -(-(end_ms - at_ms) // 1000))}s"}
