"""Check at the end of a fault run: nothing is lost, nothing charged twice, no hold stands without its row, all books agree."""

from collections import Counter
from dataclasses import dataclass, field

from app.control.audit import audit
from app.wiring import Gateway
from tests.endurance.calls import Load
from tests.endurance.injections import DISK_FULL, GATEWAY_KILLED
from tests.endurance.samples import Mark, Record
from tests.storm.answers import answer_violations
from tests.storm.books import (
    OPEN,
    Arrival,
    Snapshot,
    Violation,
    bill_violations,
    counter_violations,
    marker_violations,
    read_bill,
    take,
    usage_violations,
)
from tests.storm.library import picture_violations
from tests.storm.moods import SOUND
from tests.storm.relay_books import relay_violations
from tests.storm.relays import StormRelay, reconcile
from tests.storm.stage import Stage

EXCUSE_S = 25.0
"""How long after a charge the death of the gateway, or a full disk, can still have kept its answer from being stored."""


@dataclass
class Reckoning:
    """Numbers of the end, and what is wrong."""

    violations: list[Violation] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    states: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, found: list[Violation]) -> None:
        """Add violations of a kind, and their number."""
        self.numbers[name] = self.numbers.get(name, 0) + len(found)
        self.violations += found


def open_violations(seen: Snapshot) -> list[Violation]:
    """Check the holds while the gateway lives: no row is left open, and each counter holds what its rows do."""
    left = [Violation(f"{id} is still {row['state']}", (id,)) for id, row in seen.rows.items() if row["state"] in OPEN]
    return [*left, *counter_violations(seen)]


async def reckon(gateway: Gateway, stage: Stage, relays: list[StormRelay], load: Load, record: Record) -> Reckoning:
    """Compare rows, files, answers and bills, have the relays' logs end what is unknown, and compare again."""
    made = Reckoning()
    made.add("pictures lost", await picture_violations(gateway))
    seen, bill = await take(gateway.database), _bills(relays)
    markers = {call.marker: 1 for call in load.calls}
    made.add("pictures lost", lost_violations(seen, bill, load, record))
    made.add("charged twice", marker_violations(bill, markers))
    made.add("wrong way over the relays", relay_violations(seen, bill))
    made.add("wrong answers", answer_violations(load.calls, load.tries, seen, stage.keys))
    made.add("book and bill", [*usage_violations(seen), *bill_violations(seen, bill)])
    made.numbers["unknown before reconciliation"] = _count(seen, "unknown")
    for relay in relays:
        relay.order("whole log")
    steps, unread = await reconcile(gateway, bill)
    after = await take(gateway.database)
    wrong = [*unread, *counter_violations(after), *usage_violations(after), *bill_violations(after, bill)]
    made.add("reconciliation", wrong)
    differences = (await audit(gateway.database, gateway.zone)).differences
    made.add("audit", [Violation(f"the audit says: {difference}") for difference in differences])
    made.states = Counter(str(row["state"]) for row in after.rows.values())
    made.numbers |= {
        "charged": sum(line.charged for line in bill),
        "reconciled": len(steps),
        "unknown after reconciliation": _count(after, "unknown"),
    }
    return made


def lost_violations(seen: Snapshot, bill: list[Arrival], load: Load, record: Record) -> list[Violation]:
    """List the pictures that were paid for and answered well, are not booked, and did not reach their client either.

    The death of the gateway, or a full disk, in the seconds after the charge excuses a row that is unknown: the answer was cut
    with the process, or could not be stored. Its money is held.
    """
    at_clients = {
        picture.request_id
        for tries in load.tries.values()
        for one in tries
        if one.status == 200 and one.whole
        for picture in one.pictures
    }
    found = []
    for line in bill:
        row = seen.rows.get(line.request_id)
        if not line.charged or line.fault not in SOUND or line.request_id in at_clients:
            continue
        state = row["state"] if row else "not in the book"
        if state == "settled" or (state == "unknown" and _is_excused(line.at - record.start, record.marks)):
            continue
        found.append(Violation(f"{line.request_id} was paid for, and is {state}", (line.request_id,), (line.marker,)))
    return found


def _is_excused(at_s: float, marks: list[Mark]) -> bool:
    return any(
        mark.name in (DISK_FULL, GATEWAY_KILLED) and at_s <= mark.until_s and mark.at_s <= at_s + EXCUSE_S
        for mark in marks
    )


def _bills(relays: list[StormRelay]) -> list[Arrival]:
    return sorted((line for relay in relays for line in read_bill(relay.bill)), key=lambda line: line.at)


def _count(seen: Snapshot, state: str) -> int:
    return sum(row["state"] == state for row in seen.rows.values())
