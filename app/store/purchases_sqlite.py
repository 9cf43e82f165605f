"""The money of a request on SQLite: read, decide, write inside the writer's BEGIN IMMEDIATE."""

import json
import sqlite3
from collections.abc import Sequence

from app.store.purchases import (
    ORDER_COLUMNS,
    UNRESOLVED,
    Duplicate,
    Ending,
    Order,
    Refused,
    Reserved,
    Room,
    Settlement,
    Slot,
    Stale,
    State,
)
from app.store.writer import Writer


class SqlitePurchases:
    """`Purchases` over one writer thread."""

    def __init__(self, writer: Writer):
        self._writer = writer

    async def reserve(self, order: Order) -> Reserved | Refused | Stale | Duplicate:
        return await self._writer.run(lambda db: _reserve(db, order))

    async def dispatch(self, request_id: str, owner: str, at_ms: int) -> bool:
        return await self._writer.run(lambda db: db.execute(_DISPATCH, (at_ms, request_id, owner)).rowcount == 1)

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        return await self._writer.run(lambda db: _settle(db, request_id, settlement))

    async def release(
        self, request_id: str, ending: Ending, states: Sequence[State] = UNRESOLVED, owner: str | None = None
    ) -> bool:
        return await self._writer.run(lambda db: _release(db, request_id, ending, states, owner))

    async def give_up(self, request_id: str, ending: Ending) -> bool:
        return await self._writer.run(lambda db: _give_up(db, request_id, ending))

    async def close(self) -> None:
        await self._writer.close()


def _reserve(db: sqlite3.Connection, order: Order) -> Reserved | Refused | Stale | Duplicate:
    """What is read here cannot change before it is written. A refusal leaves at most newly opened, empty counters."""
    if db.execute("SELECT revision FROM organization").fetchone()[0] != order.revision:
        return Stale()
    if order.idempotency_key is not None and db.execute(_KEYED, (order.api_key_id, order.idempotency_key)).fetchone():
        return Duplicate()
    counter_ids = []
    for slot in order.slots:
        counter_id, left = _counter(db, slot)
        if left < (needed := order.needs.of(slot.limit.unit)):
            return Refused(slot, needed, left)
        counter_ids.append(counter_id)
    holds = [(order.needs.of(slot.limit.unit), id) for slot, id in zip(order.slots, counter_ids, strict=True)]
    db.executemany("UPDATE counters SET held = held + ? WHERE id = ?", holds)
    db.execute(_INSERT, (*order.row(), json.dumps(counter_ids)))
    return Reserved()


def _counter(db: sqlite3.Connection, slot: Slot) -> tuple[int, int]:
    """Its id and what is left in it; opened where it did not exist."""
    row = db.execute(_COUNTER, (slot.limit.id, slot.starts_at_ms)).fetchone()
    if row is None:
        db.execute(_OPEN, (slot.limit.id, slot.starts_at_ms))
        row = db.execute(_COUNTER, (slot.limit.id, slot.starts_at_ms)).fetchone()
    return row[0], row[1]


def _settle(db: sqlite3.Connection, request_id: str, settlement: Settlement) -> list[Room] | None:
    before = _state(db, request_id, ("dispatched", "unknown"))
    if before is None:
        return None
    _end(db, request_id, "settled", settlement.ending)
    booked = (
        settlement.cost_micros,
        settlement.images,
        settlement.size,
        settlement.quality,
        settlement.flag,
        settlement.input_tokens,
        settlement.output_tokens,
        request_id,
    )
    db.execute(_BOOK, booked)
    db.execute(_SPEND, (request_id,))
    _unhold(db, request_id, before)
    db.execute(_ROLL_UP, (settlement.hour_at_ms, settlement.day, request_id))
    if (result := settlement.result) is not None:
        kept = (request_id, result.body, result.body_bytes, result.created_at_ms, result.expires_at_ms)
        db.execute(_KEEP, kept)
    return [Room(unit, left) for unit, left in db.execute(_ROOMS, (request_id,))]


def _release(
    db: sqlite3.Connection, request_id: str, ending: Ending, states: Sequence[State], owner: str | None
) -> bool:
    before = _state(db, request_id, states, owner)
    if before is None:
        return False
    _end(db, request_id, "released", ending)
    db.execute("UPDATE requests SET idempotency_key = NULL WHERE id = ?", (request_id,))
    _unhold(db, request_id, before)
    return True


def _give_up(db: sqlite3.Connection, request_id: str, ending: Ending) -> bool:
    if _state(db, request_id, ("dispatched",)) is None:
        return False
    _end(db, request_id, "unknown", ending)
    db.execute(_LEAVE_FLIGHT, (request_id,))
    return True


def _state(db: sqlite3.Connection, request_id: str, states: Sequence[State], owner: str | None = None) -> State | None:
    row = db.execute("SELECT state, owner FROM requests WHERE id = ?", (request_id,)).fetchone()
    if row is None or row[0] not in states or owner not in (None, row[1]):
        return None
    state: State = row[0]
    return state


def _end(db: sqlite3.Connection, request_id: str, state: State, ending: Ending) -> None:
    values = (
        state,
        ending.at_ms,
        ending.http_status,
        ending.error_code,
        None if ending.error is None else json.dumps(ending.error),
        ending.upstream_request_id,
        ending.upstream_ms,
        request_id,
    )
    db.execute(_END, values)


def _unhold(db: sqlite3.Connection, request_id: str, before: State) -> None:
    db.execute(_UNHOLD, (int(before != "unknown"), request_id))  # An unknown one has left its in-flight limits already.


_COUNTER = """
    SELECT c.id, l.amount - c.spent - c.held FROM counters c JOIN limits l ON l.id = c.limit_id
    WHERE c.limit_id = ? AND c.starts_at_ms = ?
"""
_KEYED = "SELECT 1 FROM requests WHERE api_key_id = ? AND idempotency_key = ?"
_KEEP = """
    INSERT INTO results (request_id, body, body_bytes, created_at_ms, expires_at_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_OPEN = "INSERT INTO counters (limit_id, starts_at_ms, spent, held) VALUES (?, ?, 0, 0)"
_INSERT = f"""
    INSERT INTO requests ({ORDER_COLUMNS}, counter_ids, state)
    VALUES ({"?, " * len(ORDER_COLUMNS.split(","))} ?, 'reserved')
"""  # noqa: S608  (constants only)
_DISPATCH = """
    UPDATE requests SET state = 'dispatched', dispatched_at_ms = ? WHERE id = ? AND owner = ?
        AND state IN ('reserved', 'dispatched')
"""
_END = """
    UPDATE requests SET state = ?, ended_at_ms = ?, http_status = ?, error_code = ?, error = ?,
        upstream_request_id = coalesce(?, upstream_request_id), upstream_ms = coalesce(?, upstream_ms) WHERE id = ?
"""
_BOOK = """
    UPDATE requests SET cost_micros = ?, images = ?, size = coalesce(?, size), quality = coalesce(?, quality), flag = ?,
        input_tokens = ?, output_tokens = ? WHERE id = ?
"""
_SPEND = """
    UPDATE counters SET spent = counters.spent
        + CASE l.unit WHEN 'micros' THEN r.cost_micros WHEN 'images' THEN r.n WHEN 'requests' THEN 1 ELSE 0 END
    FROM requests r, limits l
    WHERE r.id = ? AND l.id = counters.limit_id AND counters.id IN (SELECT value FROM json_each(r.counter_ids))
"""
_UNHOLD = """
    UPDATE counters SET held = counters.held
        - CASE l.unit WHEN 'micros' THEN r.quote_micros WHEN 'images' THEN r.n WHEN 'requests' THEN 1 ELSE ? END
    FROM requests r, limits l
    WHERE r.id = ? AND l.id = counters.limit_id AND counters.id IN (SELECT value FROM json_each(r.counter_ids))
"""
_LEAVE_FLIGHT = """
    UPDATE counters SET held = counters.held - 1 FROM requests r, limits l
    WHERE r.id = ? AND l.id = counters.limit_id AND l.unit = 'in_flight'
      AND counters.id IN (SELECT value FROM json_each(r.counter_ids))
"""
_ROLL_UP = """
    INSERT INTO usage (hour_at_ms, day, project_id, user_id, api_key_id, model, operation, size, quality,
                       requests, images, cost_micros, input_tokens, output_tokens)
    SELECT ?, ?, project_id, user_id, api_key_id, model, operation, coalesce(size, ''), coalesce(quality, ''),
           1, images, cost_micros, coalesce(input_tokens, 0), coalesce(output_tokens, 0)
    FROM requests WHERE id = ?
    ON CONFLICT (hour_at_ms, day, project_id, user_id, api_key_id, model, operation, size, quality) DO UPDATE SET
        requests = usage.requests + 1, images = usage.images + excluded.images,
        cost_micros = usage.cost_micros + excluded.cost_micros,
        input_tokens = usage.input_tokens + excluded.input_tokens,
        output_tokens = usage.output_tokens + excluded.output_tokens
"""
_ROOMS = """
    SELECT l.unit, l.amount - c.spent - c.held FROM requests r, json_each(r.counter_ids) held
    JOIN counters c ON c.id = held.value JOIN limits l ON l.id = c.limit_id WHERE r.id = ? AND l.amount IS NOT NULL
"""
