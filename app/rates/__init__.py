"""Limits of requests and images per minute, counted in memory or Redis by the same rules."""

from app.rates.limits import MinuteLimit, RateCharge, Rates, RateState, RateVerdict, charge
from app.rates.memory import MemoryRates

__all__ = [
    "MemoryRates",
    "MinuteLimit",
    "RateCharge",
    "RateState",
    "RateVerdict",
    "Rates",
    "charge",
    "open_rates",
]


def open_rates(redis_url: str | None) -> Rates:
    """Create rates for this process alone, or shared through Redis. Connects on first use.

    Raises ValueError for an invalid Redis URL, but not for an unreachable Redis.
    """
    if redis_url is None:
        return MemoryRates()
    from app.rates.redis import RedisRates, connect  # The import takes 16 MiB, so only with Redis.

    return RedisRates(connect(redis_url))
