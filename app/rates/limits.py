"""Rate limits, charges and verdicts: one vocabulary for memory and Redis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.core.limits import Limit

SECOND_US = 1_000_000
WINDOW_US = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class MinuteLimit:
    """One per-minute limit in force.

    `name` is unique and stable ("lim:17"): what was spent is remembered under it. `label` is what it is called for
    people ("user lin: 10 images per minute"). `amount` is per minute; 0 lets nothing pass. A changed amount holds
    from the next request on, against what was spent in the last minute.
    """

    name: str
    label: str
    unit: Literal["requests", "images"]
    amount: int


@dataclass(frozen=True, slots=True)
class RateCharge:
    """Amount that one request takes from one limit: 1 for requests, n for images; 0 only looks and always passes."""

    limit: MinuteLimit
    cost: int


def charge(limit: Limit, *, images: int, requests: int = 1) -> RateCharge:
    """Make the charge of so many images and requests on a limit per minute; with both 0 it only looks."""
    unit: Literal["requests", "images"] = "images" if limit.unit == "images" else "requests"
    rate = MinuteLimit(name=f"lim:{limit.id}", label=limit.label, unit=unit, amount=limit.amount)
    return RateCharge(rate, images if unit == "images" else requests)


@dataclass(frozen=True, slots=True)
class RateState:
    """A limit after the decision: `remaining` is 0 or more, `reset_s` how long until all of it is there again."""

    limit: MinuteLimit
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class RateVerdict:
    """The answer for a whole request; `states` has one entry per charge, in their order.

    When refused, `refused` is the limit that takes longest to make room, and `retry_after_s` (1 to 60) is true: the
    same request passes after it if nobody else spends. The exception is a cost above the limit's whole amount, which
    never passes: then `refused` is that limit, `retry_after_s` is 60, and the caller says so in words.
    """

    granted: bool
    states: tuple[RateState, ...]
    refused: RateState | None
    retry_after_s: int


class Rates(Protocol):
    """Counts what passed in the last minute, and lets at most `amount` pass in any 60 seconds."""

    async def spend(self, charges: Sequence[RateCharge]) -> RateVerdict:
        """Take every charge or none: a refused request burns nothing of any limit.

        Each limit may occur once. Never raises for an absent or broken Redis.
        """
        ...

    async def check(self) -> str:
        """Say where rates are counted now: "memory", "redis", or "degraded: ..." with the reason. Never raises."""
        ...

    async def close(self) -> None:
        """Close connections. Safe to call with a dead or hung Redis."""
        ...


@dataclass(frozen=True, slots=True)
class RateReading:
    """One limit as its store saw it: `used` counts this request if granted, `wait_us` is 0 where there was room."""

    used: int
    wait_us: int
    reset_us: int


def verdict(charges: Sequence[RateCharge], readings: Sequence[RateReading]) -> RateVerdict:
    """Put the readings of one decision, in the order of their charges, into words a caller can use."""
    states = tuple(map(_state, charges, readings))
    blocked = [index for index, reading in enumerate(readings) if reading.wait_us]
    if not blocked:
        return RateVerdict(granted=True, states=states, refused=None, retry_after_s=0)

    def hopeless_then_longest(index: int) -> tuple[bool, int]:
        return charges[index].cost > charges[index].limit.amount, readings[index].wait_us

    worst = max(blocked, key=hopeless_then_longest)
    wait_s = -(-readings[worst].wait_us // SECOND_US)  # Rounded up: a second too early would be refused again.
    return RateVerdict(granted=False, states=states, refused=states[worst], retry_after_s=wait_s)


def _state(charge: RateCharge, reading: RateReading) -> RateState:
    return RateState(charge.limit, max(0, charge.limit.amount - reading.used), reading.reset_us / SECOND_US)
