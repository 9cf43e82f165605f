"""One handle on both stores, with a clock that can be moved: ours for memory, the stored times for Redis."""

from typing import Protocol

from redis.asyncio import Redis

from app.rates import MemoryRates, MinuteLimit, RateCharge, Rates
from app.rates.redis import RedisRates

START_US = 1_700_000_000_123_456


def requests(amount: int, name: str = "lim:1") -> MinuteLimit:
    return MinuteLimit(name, f"user lin: {amount} requests per minute", "requests", amount)


def images(amount: int, name: str = "lim:2") -> MinuteLimit:
    return MinuteLimit(name, f"user lin: {amount} images per minute", "images", amount)


async def granted_times(rates: Rates, limit: MinuteLimit, tries: int, cost: int = 1) -> int:
    """How many of so many tries pass, one after the other."""
    return [(await rates.spend([RateCharge(limit, cost)])).granted for _ in range(tries)].count(True)


class FakeClock:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us

    def advance(self, seconds: float) -> None:
        self.now_us += round(seconds * 1_000_000)


class Store(Protocol):
    """Rates under test, and time at will."""

    rates: Rates

    async def let_pass(self, seconds: float) -> None: ...
    async def now_us(self) -> int: ...
    async def clear(self) -> None: ...


class MemoryStore:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.rates: Rates = MemoryRates(self.clock)

    async def let_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def now_us(self) -> int:
        return self.clock.now_us

    async def clear(self) -> None:
        self.rates = MemoryRates(self.clock)


class RedisStore:
    """Redis asks no clock of ours, so time passes by dating everything it remembers back.

    The rules are tested here, not the fallback to memory. A slow machine must not start it, so a call may take
    a minute.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._passed_us = 0
        self.rates: Rates = RedisRates(client, call_timeout_s=60, total_timeout_s=60)

    async def let_pass(self, seconds: float) -> None:
        shift_us = round(seconds * 1_000_000)
        self._passed_us += shift_us
        async for key in self._client.scan_iter("{imagegate:rates}:*"):
            numbers = [int(word) for word in (await self._client.get(key) or b"").split()]
            numbers[::2] = [at_us - shift_us for at_us in numbers[::2]]
            await self._client.set(key, " ".join(map(str, numbers)), keepttl=True)

    async def now_us(self) -> int:
        seconds, micros = await self._client.time()
        return int(seconds) * 1_000_000 + int(micros) + self._passed_us

    async def clear(self) -> None:
        await self._client.flushdb()
