"""Plan of the relays of a seed: how many, what the second is like, and what the administrator changes in the middle."""

import random
from dataclasses import dataclass, replace
from typing import Literal

from app.control.relay_keys import seal_relay_key
from app.core.relays import FACTOR_ONE, Relay
from app.core.request import DEFAULT_RELAY
from tests.gateways import PEPPER, RELAY_KEY

SECOND = "second"
SECOND_SHARE = 0.5
"""Part of the seeds that have two relays."""
SECOND_MICROS_PER_DOLLAR = 2_000_000

Action = Literal["disable", "enable", "replace-key", "remove"]


@dataclass(frozen=True, slots=True)
class RelayChange:
    """Change by the administrator. `at` is the part of the seed's time that has passed."""

    at: float
    relay: str
    action: Action

    def apply(self, relay: Relay, now_ms: int) -> Relay:
        match self.action:
            case "disable":
                return replace(relay, disabled_at_ms=now_ms)
            case "enable":
                return replace(relay, disabled_at_ms=None)
            case "remove":
                return replace(relay, removed_at_ms=now_ms)
            case "replace-key":
                key = f"{RELAY_KEY}-{now_ms}"
                return replace(relay, sealed_key=seal_relay_key(PEPPER, relay.name, key), key_replaced_at_ms=now_ms)


@dataclass(frozen=True, slots=True)
class RelayPlan:
    """Second relay of a seed, None where there is none, and what happens to the two."""

    second: Relay | None
    changes: tuple[RelayChange, ...]


def plan_relays(seed: str, count: int | None) -> RelayPlan:
    """Plan 1 or 2 relays; None leaves the number to the seed."""
    chance = random.Random(f"{seed}/relays")
    drawn = 2 if chance.random() < SECOND_SHARE else 1
    if (count or drawn) == 1:
        return RelayPlan(None, ())
    second = Relay(
        SECOND,
        profile="N",
        weight=chance.choice([1, 1, 2, 0]),
        concurrent=chance.choice([None, None, 2, 6]),
        models=chance.choice([None, None, frozenset({"gpt-image-1", "flux-kontext-pro"})]),
        price_factor=chance.choice([FACTOR_ONE, 1_250_000, 800_000]),
        micros_per_dollar=SECOND_MICROS_PER_DOLLAR,
        created_at_ms=1,
    )
    changes = [RelayChange(0.9, SECOND, "remove")] if chance.random() < 0.2 else []
    for start in (0.1, 0.5):
        name, at = chance.choice((DEFAULT_RELAY, SECOND, SECOND)), start + 0.2 * chance.random()
        if name == SECOND and chance.random() < 0.5:
            changes.append(RelayChange(at, name, "replace-key"))
        else:
            changes += [RelayChange(at, name, "disable"), RelayChange(at + 0.15, name, "enable")]
    return RelayPlan(second, tuple(sorted(changes, key=lambda change: change.at)))
