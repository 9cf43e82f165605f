"""Rate limits, charges and verdicts, shared by the counters in memory and in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.core.limits import Limit

SECOND_US = 1_000_000
WINDOW_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class MinuteLimit:
    """Limit per minute.

    `name` is unique and stable ("lim:17"); its window is counted under it. `label` is its name for people ("user lin:
    10 images per minute"). `amount` is per minute; 0 refuses everything. A changed amount applies from the next request
    on, including what was spent in the last minute.
    """

    name: str
    label: str
    unit: Literal["requests", "images"]
    amount: int


@dataclass(frozen=True, slots=True)
class RateCharge:
    """Amount that one request takes from one limit: 1 for requests, n for images. 0 reads the state and always passes."""

    limit: MinuteLimit
    cost: int


def charge(limit: Limit, *, images: int, requests: int = 1) -> RateCharge:
    """Build the charge on a limit per minute for so many images or requests, by its unit. 0 only reads the state."""
    unit: Literal["requests", "images"] = "images" if limit.unit == "images" else "requests"
    rate = MinuteLimit(name=f"lim:{limit.id}", label=limit.label, unit=unit, amount=limit.amount)
    return RateCharge(rate, images if unit == "images" else requests)


@dataclass(frozen=True, slots=True)
class RateState:
    """State of a limit after the decision. `remaining` is at least 0; all of it is available again in `reset_s` seconds."""

    limit: MinuteLimit
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class RateVerdict:
    """Decision on all charges of a request; `states` has one entry per charge, in their order.

    On a refusal, `refused` is the limit with the longest wait, and `retry_after_s` is 1 to 60: the same request passes
    after it unless others spend in between. A cost above the limit's whole amount never passes: then `refused` is that
    limit, `retry_after_s` is 60, and the caller must explain it.
    """

    granted: bool
    states: tuple[RateState, ...]
    refused: RateState | None
    retry_after_s: int


class Rates(Protocol):
    """Counter of the last minute, which lets at most `amount` pass in any 60 seconds."""

    async def spend(self, charges: Sequence[RateCharge]) -> RateVerdict:
        """Take every charge or none: a refused request uses up nothing of any limit.

        Each limit may occur once. Never raises for an absent or broken Redis.
        """
        ...

    async def check(self) -> str:
        """Return where rates are counted now: "memory", "redis", or "degraded: ..." with the reason. Never raises."""
        ...

    async def close(self) -> None:
        """Close connections. Does not fail or hang with a broken Redis."""
        ...


@dataclass(frozen=True, slots=True)
class RateReading:
    """Reading of one limit. `used` includes this request if granted; `wait_us` is 0 when the charge fits."""

    used: int
    wait_us: int
    reset_us: int


def verdict(charges: Sequence[RateCharge], readings: Sequence[RateReading]) -> RateVerdict:
    """Build the verdict from the readings of one decision, which are in the order of their charges."""
    states = tuple(map(_state, charges, readings))
    blocked = [index for index, reading in enumerate(readings) if reading.wait_us]
    if not blocked:
        return RateVerdict(granted=True, states=states, refused=None, retry_after_s=0)

    def impossible_then_longest(index: int) -> tuple[bool, int]:
        return charges[index].cost > charges[index].limit.amount, readings[index].wait_us

    worst = max(blocked, key=impossible_then_longest)
    wait_s = -(-readings[worst].wait_us // SECOND_US)  # Rounded up: a second too early would be refused again.
    return RateVerdict(granted=False, states=states, refused=states[worst], retry_after_s=wait_s)


def _state(charge: RateCharge, reading: RateReading) -> RateState:
    return RateState(charge.limit, max(0, charge.limit.amount - reading.used), reading.reset_us / SECOND_US)
