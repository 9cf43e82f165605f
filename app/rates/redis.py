"""Rates of many processes, counted in one Redis, or in memory while Redis fails."""

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
CALL_TIMEOUT_S = 0.5  # Connecting, authenticating and the command each have a step timeout of their own.
TOTAL_TIMEOUT_S = 1.0  # Includes the wait for a connection. Longer, because our own load is no failure of Redis.
CONNECTIONS = 16
KEY_PREFIX = "{imagegate:rates}:"

SPEND_SHA1 = hashlib.sha1(SPEND.encode(), usedforsecurity=False).hexdigest()

# uvloop raises RuntimeError on a closed transport; an answer that cannot be parsed raises ValueError.
FAILURES = (RedisError, OSError, TimeoutError, RuntimeError, ValueError)

# The check spends for real: a Redis that is full or read-only still answers a PING.
CHECK_CHARGE = (RateCharge(MinuteLimit("check", "readiness check", "requests", 1_000_000_000), 1),)

log = structlog.get_logger(__name__)


class RedisRates:
    """Rates in Redis: exact across processes while Redis works; while it fails, each process applies the limits alone.

    On any failure memory decides, within a second (250 ms when Redis hangs), and only the first request of each pause
    waits (see CircuitBreaker). Each change is logged once. Memory also counts what Redis granted to this process, so
    that a switch does not grant the same minute twice. Keys expire a minute after the last spend, and share one hash
    tag.
    """

    def __init__(
        self,
        client: Redis,
        clock_us: Callable[[], int] = monotonic_us,
        call_timeout_s: float = CALL_TIMEOUT_S,
        total_timeout_s: float = TOTAL_TIMEOUT_S,
    ) -> None:
        self._client = client
        self._call_timeout_s = call_timeout_s
        self._total_timeout_s = total_timeout_s
        self._local = MemoryRates(clock_us)
        self._circuit = CircuitBreaker(clock_us)
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._reason = ""

    async def spend(self, charges: Sequence[RateCharge]) -> RateVerdict:
        """Take every charge or none, like Rates.spend."""
        if not charges:
            return verdict((), ())
        readings = await self._try_redis(charges)
        if readings is None:
            return await self._local.spend(charges)
        decision = verdict(charges, readings)
        if decision.granted:
            self._local.count_granted(charges)
        return decision

    async def check(self) -> str:
        """Return "redis" or "degraded: ..." after a spend on a limit of its own, within the circuit's pauses."""
        await self._try_redis(CHECK_CHARGE)
        return f"degraded: local limits, Redis {self._reason}" if self._circuit.is_open else "redis"

    async def close(self) -> None:
        """Close the connections. Failures are only logged."""
        try:
            async with asyncio.timeout(self._call_timeout_s):
                await self._client.aclose()
        except FAILURES as exc:
            log.info("rates_close_failed", error=str(exc))

    async def _try_redis(self, charges: Sequence[RateCharge]) -> list[RateReading] | None:
        """Decide in Redis; None when Redis fails or the circuit is open."""
        attempt = self._circuit.begin()
        if attempt is None:
            return None
        try:
            async with asyncio.timeout(self._total_timeout_s), self._slots:
                if self._circuit.is_stale(attempt):  # Redis failed for a call ahead of this one.
                    return None
                async with asyncio.timeout(self._call_timeout_s):
                    readings = await self._call_script(charges)
        except FAILURES as exc:
            self._note_failure(attempt, exc)
            return None
        if self._circuit.succeeded(attempt):
            log.info("rates_restored", store="redis")
        return readings

    async def _call_script(self, charges: Sequence[RateCharge]) -> list[RateReading]:
        keys = [KEY_PREFIX + charge.limit.name for charge in charges]
        numbers = [number for charge in charges for number in (charge.limit.amount, charge.cost)]
        try:
            answer = await self._client.evalsha(SPEND_SHA1, len(keys), *keys, *numbers)
        except NoScriptError:  # The script did not run, so calling it again cannot count twice.
            await self._client.script_load(SPEND)
            answer = await self._client.evalsha(SPEND_SHA1, len(keys), *keys, *numbers)
        return [RateReading(*map(int, answer[at : at + 3])) for at in range(0, 3 * len(keys), 3)]

    def _note_failure(self, attempt: int, exc: Exception) -> None:
        self._reason = type(exc).__name__  # Only the class: /readyz is public, and the text may name hosts.
        if self._circuit.failed(attempt):
            log.warning("rates_degraded", store="memory", error=f"{self._reason}: {exc}")


def connect(redis_url: str, step_timeout_s: float = STEP_TIMEOUT_S) -> Redis:
    """Create a client with short timeouts and without retries: a repeated EVALSHA would count twice.

    Connects on first use. Raises ValueError for a URL that redis-py does not accept.
    """
    return Redis.from_url(
        redis_url,
        retry=Retry(NoBackoff(), 0),  # Explicit: other ways to build a client of redis-py 8.1 retry ten times.
        socket_timeout=step_timeout_s,
        socket_connect_timeout=step_timeout_s,
        max_connections=CONNECTIONS,
        protocol=2,  # RESP3 is not needed, and RESP2 saves a HELLO per connection.
    )
