"""Ledger on SQLite: read, decide and write inside the writer's BEGIN IMMEDIATE."""

import json
import sqlite3
from collections.abc import Sequence

from app.store.ledger.columns import (
    NOT_BOOKED,
    UNRESOLVED,
    CounterKey,
    Ending,
    Reservation,
    Settlement,
    State,
    assignments,
    names,
    placeholders,
    question_marks,
    values,
)
from app.store.ledger.earlier import earlier_picture_sql
from app.store.ledger.sums import held_sql, roll_up_sql, spent_sql
from app.store.ledger.types import (
    IdempotencyKeyTaken,
    LimitExceeded,
    RefusedDispatch,
    Reserved,
    ReserveOutcome,
    Room,
    Stale,
)
from app.store.writer import Writer


class SqliteLedger:
    """Implementation of `Ledger` over the writer thread."""

    def __init__(self, writer: Writer):
        self._writer = writer

    async def reserve(self, reservation: Reservation) -> ReserveOutcome:
        return await self._writer.run(lambda db: _reserve(db, reservation))

    async def dispatch(
        self, request_id: str, owner: str, at_ms: int, relay: str, refused: RefusedDispatch | None = None
    ) -> bool:
        row = (at_ms, relay, request_id, owner)
        return await self._writer.run(lambda db: _dispatch(db, request_id, row, refused))

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        states: tuple[State, ...] = ("dispatched", "unknown")
        return await self._writer.run(
            lambda db: _end(db, request_id, "settled", states, settlement.ending, settlement=settlement)
        )

    async def release(
        self, request_id: str, ending: Ending, states: Sequence[State] = UNRESOLVED, owner: str | None = None
    ) -> bool:
        return await self._writer.run(lambda db: _end(db, request_id, "released", states, ending, owner)) is not None

    async def give_up(self, request_id: str, ending: Ending) -> bool:
        return await self._writer.run(lambda db: _end(db, request_id, "unknown", ("dispatched",), ending)) is not None

    async def close(self) -> None:
        await self._writer.close()


def _reserve(db: sqlite3.Connection, reservation: Reservation) -> ReserveOutcome:
    """Decide and write in one transaction: nothing read here changes before it is written. A refusal leaves at
    most newly opened, empty counters."""
    if db.execute("SELECT revision FROM organization").fetchone()[0] != reservation.revision:
        return Stale()
    key = (reservation.api_key_id, reservation.idempotency_key)
    if reservation.idempotency_key is not None and db.execute(_FIND_KEYED, key).fetchone():
        return IdempotencyKeyTaken()
    holds = []
    for counter_key in reservation.counter_keys:
        counter_id, left = _counter(db, counter_key)
        if left < (needed := reservation.hold(counter_key.limit.unit)):
            return LimitExceeded(counter_key, needed, left)
        holds.append((needed, counter_id))
    db.executemany(_HOLD, holds)
    counter_ids = json.dumps([counter_id for _, counter_id in holds])
    duplicate_of = _earlier_picture(db, reservation)
    db.execute(_INSERT, (*values(reservation), reservation.reserved_at_ms, counter_ids, duplicate_of))
    return Reserved(duplicate_of)


def _dispatch(
    db: sqlite3.Connection, request_id: str, row: tuple[int, str, str, str], refused: RefusedDispatch | None
) -> bool:
    is_marked = db.execute(_DISPATCH, row).rowcount == 1
    if is_marked and refused is not None:
        db.execute(_REFUSED, (request_id, refused.relay, refused.at_ms, refused.code))
    return is_marked


def _earlier_picture(db: sqlite3.Connection, reservation: Reservation) -> str | None:
    if reservation.looked_up_digest is None:
        return None
    row = (reservation.looked_up_digest, reservation.reserved_at_ms, reservation.reserved_at_ms)
    found: tuple[str] | None = db.execute(_FIND_PICTURE, row).fetchone()
    return None if found is None else found[0]


def _counter(db: sqlite3.Connection, key: CounterKey) -> tuple[int, int]:
    """Return the id of a counter and the amount left in it. A missing counter is opened."""
    row = (key.limit.id, key.starts_at_ms)
    found: tuple[int, int] | None = db.execute(_FIND_COUNTER, row).fetchone()
    if found is None:
        db.execute(_OPEN_COUNTER, row)
        found = db.execute(_FIND_COUNTER, row).fetchone()
    assert found is not None, "opened just now"
    return found


def _end(
    db: sqlite3.Connection,
    request_id: str,
    state: State,
    states: Sequence[State],
    ending: Ending,
    owner: str | None = None,
    settlement: Settlement | None = None,
) -> list[Room] | None:
    """Return None, with nothing changed, when the request is in none of `states` or of another owner."""
    before, its_owner = db.execute(_FIND_STATE, (request_id,)).fetchone() or (None, None)
    if before not in states or owner not in (None, its_owner):
        return None
    booked = NOT_BOOKED if settlement is None else values(settlement)
    db.execute(_END, (state, *values(ending), *booked, request_id, before))
    rooms = [Room(*row) for row in db.execute(_MOVE, (before, request_id)) if row[1] is not None]
    if state == "released":
        db.execute(_FREE_KEYS, (ending.is_retryable, request_id))
    if settlement is not None:
        db.execute(_ROLL_UP, (settlement.hour_at_ms, settlement.day, request_id))
        if (result := settlement.result) is not None:
            row = (request_id, result.body, result.body_bytes, result.created_at_ms, result.expires_at_ms)
            db.execute(_KEEP_RESULT, row)
    return rooms


_FIND_COUNTER = """
    SELECT c.id, l.amount - c.spent - c.held FROM counters c JOIN limits l ON l.id = c.limit_id
    WHERE c.limit_id = ? AND c.starts_at_ms = ?
"""
_OPEN_COUNTER = "INSERT INTO counters (limit_id, starts_at_ms, spent, held) VALUES (?, ?, 0, 0)"
_FIND_KEYED = "SELECT 1 FROM requests WHERE api_key_id = ? AND idempotency_key = ?"
_FIND_PICTURE = earlier_picture_sql(question_marks())
_HOLD = "UPDATE counters SET held = held + ? WHERE id = ?"
_INSERT = f"""
    INSERT INTO requests ({names(Reservation)}, tried_at_ms, counter_ids, duplicate_of, state)
    VALUES ({placeholders(Reservation, question_marks())}, ?, ?, ?, 'reserved')
"""  # noqa: S608  (constants only)
_DISPATCH = """
    UPDATE requests SET state = 'dispatched', dispatched_at_ms = ?, relay = ?
    WHERE id = ? AND owner = ? AND state IN ('reserved', 'dispatched')
"""
_REFUSED = """
    INSERT INTO refused_dispatches (request_id, relay, dispatched_at_ms, code) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_FIND_STATE = "SELECT state, owner FROM requests WHERE id = ?"
_END = f"""
    UPDATE requests AS r SET state = ?, {assignments((Ending, Settlement), question_marks())} WHERE id = ? AND state = ?
"""  # noqa: S608  (constants only)
# Counters move by the difference between what the request held before and what it holds and has spent now.
_MOVE = f"""
    UPDATE counters SET
        spent = spent + {spent_sql("r", "r.state", "l.unit")},
        held = held - {held_sql("r", "r.was", "l.unit")} + {held_sql("r", "r.state", "l.unit")}
    FROM (SELECT *, ? AS was FROM requests WHERE id = ?) r, json_each(r.counter_ids) counter, limits l
    WHERE counters.id = counter.value AND l.id = counters.limit_id
    RETURNING (SELECT unit FROM limits WHERE limits.id = counters.limit_id),
        (SELECT amount FROM limits WHERE limits.id = counters.limit_id) - spent - held
"""  # noqa: S608  (constants only)
_FREE_KEYS = """
    UPDATE requests SET fingerprint = CASE WHEN ? AND idempotency_key IS NULL THEN fingerprint END, idempotency_key = NULL,
        duplicate_digest = NULL
    WHERE id = ?
"""
# Triggers on `usage` add the same sums to the other roll-ups (migrations 0008 and 0032).
_ROLL_UP = roll_up_sql("requests WHERE id = ?", "?", "?")
_KEEP_RESULT = """
    INSERT INTO results (request_id, body, body_bytes, created_at_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
