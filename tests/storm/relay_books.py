"""The invariants of several relays: each charge is of the relay that the book names, and no request goes on after a charge."""

from collections import defaultdict
from itertools import pairwise

from app.core.request import DEFAULT_RELAY
from tests.storm.books import Arrival, Snapshot, Violation

ABOUT_RELAY = frozenset(
    {"busy", "wallet_empty", "key_exhausted", "key_wrong", "key_forbidden", "no_price", "no_channel", "moved"}
)
"""Faults after which another relay may get the request: refusals, free of charge, that are not about the request."""


def relay_violations(seen: Snapshot, bill: list[Arrival]) -> list[Violation]:
    """Check the way of each request over the relays. `bill` has the arrivals at all of them."""
    ways: dict[str, list[Arrival]] = defaultdict(list)
    for line in sorted(bill, key=lambda line: line.at):
        ways[line.request_id].append(line)
    return [
        Violation(f"{id} {what}", (id,), (way[0].marker,)) for id, way in ways.items() for what in _wrong(id, way, seen)
    ]


def _wrong(id: str, way: list[Arrival], seen: Snapshot) -> list[str]:
    names = [line.relay for line in way]
    found = [f"was sent {names.count(name)} times to {name}" for name in set(names) if names.count(name) > 1]
    charged = [line.relay for line in way if line.charged]
    if len(charged) > 1:
        found.append(f"was charged by {' and by '.join(charged)}")
    for earlier, later in pairwise(way):
        if earlier.charged or earlier.fault not in ABOUT_RELAY:
            found.append(f"was sent on to {later.relay} after {earlier.relay} had answered: {earlier.fault}")
        if (id, earlier.relay) not in seen.refused:
            found.append(f"was sent on to {later.relay}, and the book does not know that {earlier.relay} refused it")
    row = seen.rows.get(id)
    if (
        row is not None
        and (row["relay"] or DEFAULT_RELAY) != names[-1]
        and (charged or not _was_sent_on(id, row, seen))
    ):
        found.append(f"went to {names[-1]} last, and the book says {row['relay']}")
    return found


def _was_sent_on(id: str, row: dict[str, object], seen: Snapshot) -> bool:
    """Return whether it was dispatched to another relay after a refusal: it need not have arrived there."""
    return any(request_id == id and relay != row["relay"] for request_id, relay in seen.refused)
