"""The invariants: what the counters, the book, the roll-up and the relay's bill must have to do with each other, always."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.store.engine import Database
from app.store.tables import corrections, counters, limits, refused_dispatches, requests, usage

Row = dict[str, Any]
OPEN = ("reserved", "dispatched")
HELD = (*OPEN, "unknown")
LOST = "process_lost"


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, and whose stories to tell."""

    what: str
    request_ids: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one instant."""

    rows: dict[str, Row]
    counters: list[Row]
    usage: list[Row]
    corrections: list[Row]
    refused: frozenset[tuple[str, str]]
    """Ids of requests that a relay refused before another got them, with its name."""

    def corrected(self, id: str, column: str) -> int:
        """What corrections add to a request."""
        return sum(row[column] for row in self.corrections if row["request_id"] == id)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A line of the relay's bill; `micros` is 0 where it did not charge."""

    relay: str
    marker: str
    arrival: int
    at: float
    fault: str
    micros: int
    request_id: str
    n: int
    charged: bool


async def take(database: Database) -> Snapshot:
    """One transaction: nothing in it moves. Raises StoreUnavailable."""
    counted = sa.select(counters, limits.c.unit, limits.c.amount, limits.c.scope, limits.c.scope_id).join(
        limits, limits.c.id == counters.c.limit_id
    )
    async with database.read() as connection:
        rows = [dict(row) for row in (await connection.execute(sa.select(requests))).mappings()]
        return Snapshot(
            {row["id"]: row for row in rows},
            [dict(row) for row in (await connection.execute(counted)).mappings()],
            [dict(row) for row in (await connection.execute(sa.select(usage))).mappings()],
            [dict(row) for row in (await connection.execute(sa.select(corrections))).mappings()],
            frozenset((row.request_id, row.relay) for row in await connection.execute(sa.select(refused_dispatches))),
        )


def read_bill(path: Path) -> list[Arrival]:
    return [Arrival(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def counter_violations(seen: Snapshot) -> list[Violation]:
    """At any time: no counter above its limit, and each what its rows add up to."""
    found = []
    for counter in seen.counters:
        rows = [row for row in seen.rows.values() if counter["id"] in row["counter_ids"]]
        ids = tuple(row["id"] for row in rows)
        name = f"the {counter['unit']} limit of {counter['scope']} {counter['scope_id']}"
        if counter["amount"] is not None and counter["spent"] + counter["held"] > counter["amount"]:
            found.append(
                Violation(
                    f"{name}: spent {counter['spent']} + held {counter['held']} is above {counter['amount']}", ids
                )
            )
        spent, held = _due(seen, counter["unit"], rows)
        if (counter["spent"], counter["held"]) != (spent, held):
            is_, due = f"spent {counter['spent']}, held {counter['held']}", f"spent {spent}, held {held}"
            found.append(Violation(f"{name}: it says {is_}; its rows add up to {due}", ids))
    return found


def usage_violations(seen: Snapshot) -> list[Violation]:
    """The roll-up is the settled rows and their corrections, group by group."""
    due: Counter[tuple[Any, ...]] = Counter()
    for id, row in seen.rows.items():
        booked = row["state"] == "settled"
        for name, amount in (("requests", 1), ("images", row["images"]), ("cost_micros", row["cost_micros"])):
            due[(*_group(row), name)] += (amount if booked else 0) + seen.corrected(id, name)
    shown: Counter[tuple[Any, ...]] = Counter()
    for row in seen.usage:
        for name in ("requests", "images", "cost_micros"):
            shown[(*_group(row), name)] += row[name]
    return [
        Violation(f"the roll-up of {group} says {shown[group]}, the settled rows add up to {due[group]}")
        for group in due.keys() | shown.keys()
        if due[group] != shown[group]
    ]


def bill_violations(seen: Snapshot, bill: list[Arrival]) -> list[Violation]:
    """After the end: what was charged is settled or unknown, each once; nothing is left open; an unknown one has an excuse."""
    found = [
        Violation(f"{row['id']} is still {row['state']}", (row["id"],))
        for row in seen.rows.values()
        if row["state"] in OPEN
    ]
    arrived = Counter(line.request_id for line in bill)
    charged = {line.request_id: line for line in bill if line.charged}
    for id, line in charged.items():
        row = seen.rows.get(id)
        booked_micros = ((row and row["cost_micros"]) or 0) + seen.corrected(id, "cost_micros")
        if row is None or not (row["state"] in ("settled", "unknown") or booked_micros):
            state = row["state"] if row else "not in the book"
            found.append(Violation(f"{id} was charged ({line.fault}) and is {state}", (id,), (line.marker,)))
        elif row["state"] != "unknown" and booked_micros != line.micros:
            found.append(Violation(f"{id} cost {line.micros} and is booked at {booked_micros}", (id,), (line.marker,)))
        if row is not None and row["quote_micros"] < line.micros:
            found.append(Violation(f"{id} cost {line.micros}, and {row['quote_micros']} were held for it", (id,)))
    for id, row in seen.rows.items():
        if row["state"] == "settled" and id not in charged:
            found.append(Violation(f"{id} is settled and was never charged", (id,)))
        refused = arrived[id] and id not in charged
        if row["state"] == "unknown" and refused and row["error_code"] not in (LOST, "upstream_outcome_unknown"):
            found.append(Violation(f"{id} was refused by the relay and is unknown ({row['error_code']})", (id,)))
    return found


def marker_violations(bill: list[Arrival], charges_max: dict[str, int]) -> list[Violation]:
    """No call of a client is charged twice, however often it was tried."""
    times = Counter(line.marker for line in bill if line.charged)
    return [
        Violation(
            f"{marker} was charged {count} times, {charges_max[marker]} at most",
            tuple(line.request_id for line in bill if line.marker == marker),
            (marker,),
        )
        for marker, count in times.items()
        if count > charges_max[marker]
    ]


def _due(seen: Snapshot, unit: str, rows: list[Row]) -> tuple[int, int]:
    """(spent, held) of a counter that all these rows hold on."""
    if unit == "in_flight":
        return 0, sum(row["state"] in OPEN for row in rows)
    takes = {"micros": "quote_micros", "images": "n"}.get(unit)
    settled = [row for row in rows if row["state"] == "settled"]
    held = [row for row in rows if row["state"] in HELD]
    column = {"micros": "cost_micros", "images": "images"}.get(unit, "requests")
    corrected = sum(seen.corrected(row["id"], column) for row in rows)
    spent = sum(
        {"micros": row["cost_micros"], "images": max(row["n"], row["images"] or 0)}.get(unit, 1) for row in settled
    )
    return spent + corrected, sum(row[takes] if takes else 1 for row in held)


def _group(row: Row) -> tuple[Any, ...]:
    names = ("project_id", "user_id", "api_key_id", "model", "operation")
    return (*(row[name] for name in names), row["size"] or "", row["quality"] or "")
