"""Requests and images per minute: memory or Redis, same rules."""

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
    """Rates for this process alone, or shared through a Redis; nothing is connected before the first use.

    Raises ValueError for a URL that is no Redis URL. A Redis that is not there is no error.
    """
    if redis_url is None:
        return MemoryRates()
    from app.rates.redis import RedisRates, connect  # 16 MiB, for those who have one.

    return RedisRates(connect(redis_url))
