"""Rates of many processes, counted in one Redis; in our own memory while Redis is away."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from app.rates.circuit import CircuitBreaker
from app.rates.limits import MinuteLimit, RateCharge, RateReading, RateVerdict, verdict
from app.rates.memory import MemoryRates, monotonic_us
from app.rates.script import SPEND

STEP_TIMEOUT_S = 0.25
ASK_TIMEOUT_S = 0.5  # Connecting, signing in and asking are steps of their own.
WHOLE_TIMEOUT_S = 1.0  # With the wait for a turn: a herd of our own is no fault of Redis, so this one is wider.
CONNECTIONS = 16
KEY_PREFIX = "{imagegate:rates}:"

SPEND_SHA1 = hashlib.sha1(SPEND.encode(), usedforsecurity=False).hexdigest()

# A transport that uvloop has already closed raises RuntimeError, an answer that makes no sense ValueError.
BROKEN = (RedisError, OSError, TimeoutError, RuntimeError, ValueError)

# A real spend: a PING is answered by a Redis that is full or read-only, too.
TRIAL = (RateCharge(MinuteLimit("check", "readiness check", "requests", 1_000_000_000), 1),)

log = structlog.get_logger(__name__)


class RedisRates:
    """Exact across processes while Redis answers; while it does not, each process holds the limits by itself.

    A failure of any kind is answered from memory, within a second (250 ms where Redis hangs), and only the first of
    each pause waits at all (see CircuitBreaker); the change is logged once in each direction. Memory also counts what Redis
    granted to this process, so the switch does not hand out the minute again. Keys expire a minute after the last
    spend, and share one hash tag.
    """

    def __init__(self, client: Redis, clock_us: Callable[[], int] = monotonic_us) -> None:
        self._client = client
        self._local = MemoryRates(clock_us)
        self._circuit = CircuitBreaker(clock_us)
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._reason = ""

    async def spend(self, charges: Sequence[RateCharge]) -> RateVerdict:
        """See Rates.spend."""
        if not charges:
            return verdict((), ())
        readings = await self._try_redis(charges)
        if readings is None:
            return await self._local.spend(charges)
        decided = verdict(charges, readings)
        if decided.granted:
            self._local.note(charges)
        return decided

    async def check(self) -> str:
        """See Rates.check: spends from a limit of its own, within the circuit's pauses."""
        await self._try_redis(TRIAL)
        return f"degraded: local limits, Redis {self._reason}" if self._circuit.is_open else "redis"

    async def close(self) -> None:
        """See Rates.close."""
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                await self._client.aclose()
        except BROKEN as exc:
            log.info("rates_close_failed", error=str(exc))

    async def _try_redis(self, charges: Sequence[RateCharge]) -> list[RateReading] | None:
        """None where Redis is broken, or being left alone."""
        attempt = self._circuit.begin()
        if attempt is None:
            return None
        try:
            async with asyncio.timeout(WHOLE_TIMEOUT_S), self._turns:
                if self._circuit.is_stale(attempt):  # Those before us in the queue have just found it broken.
                    return None
                async with asyncio.timeout(ASK_TIMEOUT_S):
                    readings = await self._ask(charges)
        except BROKEN as exc:
            self._note_failure(attempt, exc)
            return None
        if self._circuit.succeeded(attempt):
            log.info("rates_restored", store="redis")
        return readings

    async def _ask(self, charges: Sequence[RateCharge]) -> list[RateReading]:
        keys = [KEY_PREFIX + charge.limit.name for charge in charges]
        numbers = [number for charge in charges for number in (charge.limit.amount, charge.cost)]
        try:
            answer = await self._client.evalsha(SPEND_SHA1, len(keys), *keys, *numbers)
        except NoScriptError:  # Refused before it ran, so asking again cannot count twice.
            await self._client.script_load(SPEND)
            answer = await self._client.evalsha(SPEND_SHA1, len(keys), *keys, *numbers)
        return [RateReading(*map(int, answer[at : at + 3])) for at in range(0, 3 * len(keys), 3)]

    def _note_failure(self, attempt: int, exc: Exception) -> None:
        self._reason = type(exc).__name__  # No text: /readyz is open to everybody.
        if self._circuit.failed(attempt):
            log.warning("rates_degraded", store="memory", error=f"{self._reason}: {exc}")


def connect(redis_url: str) -> Redis:
    """A client that gives up after 250 ms and never asks twice: a repeated EVALSHA would count twice.

    Connects on first use. Raises ValueError for a URL that is not one of redis-py's.
    """
    return Redis.from_url(
        redis_url,
        retry=Retry(NoBackoff(), 0),  # Said aloud: redis-py 8.1 retries ten times by default, only not from here.
        socket_timeout=STEP_TIMEOUT_S,
        socket_connect_timeout=STEP_TIMEOUT_S,
        max_connections=CONNECTIONS,
        protocol=2,  # The answers need no RESP3, and each new connection saves a HELLO.
    )
