"""Plan of a seed: calls of clients with their times and timeouts, and the kills."""

import random
from dataclasses import dataclass, replace
from typing import Literal

from app.images.crash import POINTS
from tests.storm.relay_plan import RelayPlan

Victim = Literal["gateway", "postgres", "redis", "relay"]
MODELS = ("gpt-image-1", "gpt-image-1", "flux-kontext-pro", "seedream-3.0")
EDITED = ("gpt-image-1", "flux-kontext-pro")
REQUESTS_PER_S = 35
LIFE_S = 0.5
"""Of the one gateway there is, between two kills: it takes part of that to start."""
KINDS = {"sdk": 40, "keyed": 20, "twins": 8, "duplicates": 10, "reuse": 4, "once": 8, "leaver": 10, "again": 12}


@dataclass(frozen=True, slots=True)
class Call:
    """One logical call of a client: the tries of one have one body. `retries` of 0: a client that never tries again.

    `leaves_s`: it hangs up so long after it has asked, and does not come back.
    """

    name: str
    kind: str
    marker: str
    key: int
    at_s: float
    operation: Literal["generation", "edit"]
    model: str
    n: int
    stream: bool
    idempotency_key: str | None = None
    retries: int = 2
    timeout_s: float = 4.0
    leaves_s: float | None = None
    picture_bytes: int = 300
    serves: bool = False
    """It takes what was bought before where that is kept."""


@dataclass(frozen=True, slots=True)
class Kill:
    at_s: float
    victim: Victim
    number: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`charges_max` is how often each marker may be charged at most. `crashes`: what each start of a gateway is told, in turn."""

    seed: str
    calls: tuple[Call, ...]
    kills: tuple[Kill, ...]
    crashes: tuple[str | None, ...]
    seconds: float
    erases_s: float
    """When the administrator erases a user."""
    relays: RelayPlan

    @property
    def charges_max(self) -> dict[str, int]:
        most: dict[str, int] = {}
        for call in self.calls:
            most[call.marker] = most.get(call.marker, 0) + 1 if call.kind in ("twins", "again") else 1
        return most


def make_plan(seed: str, requests: int, kills: int, keys: int, victims: dict[Victim, int], relays: RelayPlan) -> Plan:
    """The same for the same arguments. `victims`: how many gateways there are, whether PostgreSQL and Redis are ours to kill."""
    chance = random.Random(f"{seed}/plan")
    seconds = max(requests / REQUESTS_PER_S, kills * (LIFE_S if victims["gateway"] == 1 else LIFE_S / 2))
    calls: list[Call] = []
    while len(calls) < requests:
        calls += _calls(chance, seed, len(calls), keys, seconds)
    starts = chance.sample(range(kills), kills // 2) if kills else []
    crashes = tuple(
        f"{chance.choice(POINTS)}:{chance.choice([1, 1, 2, 3])}" if number in starts else None
        for number in range(kills + 20)
    )
    deaths = [_kill(chance, victims, (number + chance.random()) * seconds / kills) for number in range(kills)]
    erases_s = (0.3 + 0.5 * chance.random()) * seconds
    return Plan(seed, tuple(calls), tuple(deaths), crashes, seconds, erases_s, relays)


def _calls(chance: random.Random, seed: str, number: int, keys: int, seconds: float) -> list[Call]:
    [kind] = chance.choices(list(KINDS), list(KINDS.values()))
    operation = "edit" if chance.random() < 0.3 else "generation"
    call = Call(
        name=f"c{number}",
        kind=kind,
        marker=f"storm-{seed}-{number}",
        key=chance.randrange(keys),
        at_s=chance.random() * seconds,
        operation="edit" if operation == "edit" else "generation",
        model=chance.choice(EDITED if operation == "edit" else MODELS),
        n=chance.choice([1, 1, 1, 2, 3]),
        stream=chance.random() < 0.2,
        retries=0 if kind in ("once", "leaver") else 2,
        timeout_s=chance.choice([0.3, 0.8, 4.0, 4.0]),
        leaves_s=chance.random() ** 2 * 1.5 if kind == "leaver" else None,
        picture_bytes=chance.choice([300, 3_000, 120_000]),
    )
    return _group(chance, call)


def _group(chance: random.Random, call: Call) -> list[Call]:
    """Calls that have to do with each other: the same body, or the same Idempotency-Key."""
    key = f"idem-{call.marker}"
    if call.kind in ("keyed", "once", "leaver"):
        return [replace(call, idempotency_key=key if call.kind == "keyed" or chance.random() < 0.3 else None)]
    if call.kind == "reuse":
        other = replace(call, name=f"{call.name}b", marker=f"{call.marker}-other", at_s=_later(chance, call))
        return [replace(call, idempotency_key=key), replace(other, idempotency_key=key)]
    if call.kind in ("twins", "duplicates"):
        known = key if call.kind == "duplicates" else None
        return [
            replace(call, name=f"{call.name}{letter}", idempotency_key=known, at_s=_later(chance, call))
            for letter in "abcd"[: chance.randint(2, 4)]
        ]
    if call.kind == "again":
        again = [
            replace(call, name=f"{call.name}{letter}", at_s=_much_later(chance, call), serves=chance.random() < 0.7)
            for letter in "bcd"[: chance.randint(1, 3)]
        ]
        return [call, *again]
    return [call]


def _much_later(chance: random.Random, call: Call) -> float:
    return call.at_s + chance.choice([0.1, 0.8, 1.5, 2.5])


def _later(chance: random.Random, call: Call) -> float:
    return call.at_s + chance.choice([0.0, 0.02, 0.3, 1.0])


def _kill(chance: random.Random, victims: dict[Victim, int], at_s: float) -> Kill:
    weights = {"gateway": 8, "postgres": 1, "redis": 1, "relay": 1}
    there = [victim for victim in victims if victims[victim]]
    [victim] = chance.choices(there, [weights[victim] for victim in there])
    return Kill(at_s, victim, chance.randrange(victims[victim]))
