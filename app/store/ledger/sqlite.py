"""The money of a request on SQLite: read, decide, write inside the writer's BEGIN IMMEDIATE."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from app.store.ledger.types import (
    ORDER_COLUMNS,
    UNRESOLVED,
    CounterKey,
    Duplicate,
    Ending,
    Order,
    Refused,
    Reserved,
    Room,
    Settlement,
    Stale,
    State,
)
from app.store.writer import Writer


class SqliteLedger:
    """`Ledger` over the one writer."""

    def __init__(self, writer: Writer):
        self._writer = writer

    async def reserve(self, order: Order) -> Reserved | Refused | Stale | Duplicate:
        # Nothing was sent on it yet: a power cut that forgets it gives it back. The dispatched mark is synced, and it before that.
        return await self._writer.run(lambda db: _reserve(db, order), synced=False)

    async def dispatch(self, request_id: str, owner: str, at_ms: int, relay: str) -> bool:
        return await self._writer.run(lambda db: db.execute(_DISPATCH, (at_ms, relay, request_id, owner)).rowcount == 1)

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        # It survives this process, and is on the disk while its answer is sent; a power cut just then leaves it unknown, and held.
        return await self._writer.run(lambda db: _settle(db, request_id, settlement), synced=False)

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
    holds = []
    needs = order.needs
    for key in order.counter_keys:
        counter_id, left = _counter(db, key)
        if left < (needed := needs.of(key.limit.unit)):
            return Refused(key, needed, left)
        holds.append((needed, counter_id))
    db.executemany(_HOLD, holds)
    db.execute(_INSERT, (*order.row(), json.dumps([counter_id for _, counter_id in holds])))
    return Reserved()


def _counter(db: sqlite3.Connection, key: CounterKey) -> tuple[int, int]:
    """The counter of a key and what is left in it. One that did not exist is opened."""
    values = (key.limit.id, key.starts_at_ms)
    found: tuple[int, int] | None = db.execute(_COUNTER, values).fetchone()
    if found is None:
        db.execute(_OPEN, values)
        found = db.execute(_COUNTER, values).fetchone()
    assert found is not None, "opened just now"
    return found


def _settle(db: sqlite3.Connection, request_id: str, settlement: Settlement) -> list[Room] | None:
    """The counters first: their holds go by the state the request was in."""
    lefts = db.execute(_SPEND, (settlement.cost_micros, request_id)).fetchall()
    booked = (
        settlement.cost_micros,
        settlement.images,
        settlement.size,
        settlement.quality,
        settlement.flag,
        settlement.input_tokens,
        settlement.output_tokens,
    )
    if db.execute(_SETTLE, (*_ended("settled", settlement.ending), *booked, request_id)).rowcount == 0:
        return None
    db.execute(_ROLL_UP, (settlement.hour_at_ms, settlement.day, request_id))
    if (result := settlement.result) is not None:
        kept = (request_id, result.body, result.body_bytes, result.created_at_ms, result.expires_at_ms)
        db.execute(_KEEP, kept)
    return [Room(unit, left) for unit, left in lefts if left is not None]


def _release(
    db: sqlite3.Connection, request_id: str, ending: Ending, states: Sequence[State], owner: str | None
) -> bool:
    before = _state(db, request_id, states, owner)
    if before is None:
        return False
    _end(db, request_id, "released", ending)
    db.execute(_FREE, (ending.is_retryable, request_id))
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
    db.execute(_END, (*_ended(state, ending), request_id))


def _ended(state: State, ending: Ending) -> tuple[Any, ...]:
    """The values of _ENDED."""
    return (
        state,
        ending.at_ms,
        ending.http_status,
        ending.error_code,
        None if ending.error is None else json.dumps(ending.error),
        ending.upstream_request_id,
        ending.upstream_ms,
    )


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
_HOLD = "UPDATE counters SET held = held + ? WHERE id = ?"
_INSERT = f"""
    INSERT INTO requests ({ORDER_COLUMNS}, counter_ids, state)
    VALUES ({"?, " * len(ORDER_COLUMNS.split(","))} ?, 'reserved')
"""  # noqa: S608  (constants only)
_DISPATCH = """
    UPDATE requests SET state = 'dispatched', dispatched_at_ms = ?, relay = ? WHERE id = ? AND owner = ?
        AND state IN ('reserved', 'dispatched')
"""
_ENDED = """
    state = ?, ended_at_ms = ?, http_status = ?, error_code = ?, error = ?,
    upstream_request_id = coalesce(?, upstream_request_id), upstream_ms = coalesce(?, upstream_ms)
"""
_END = f"UPDATE requests SET {_ENDED} WHERE id = ?"  # noqa: S608  (constants only)
_FREE = """
    UPDATE requests SET fingerprint = CASE WHEN ? AND idempotency_key IS NULL THEN fingerprint END, idempotency_key = NULL
    WHERE id = ?
"""
_SETTLE = f"""
    UPDATE requests SET {_ENDED}, cost_micros = ?, images = ?, size = coalesce(?, size), quality = coalesce(?, quality),
        flag = ?, input_tokens = ?, output_tokens = ? WHERE id = ? AND state IN ('dispatched', 'unknown')
"""  # noqa: S608  (constants only)
_SPEND = """
    UPDATE counters SET
        spent = spent + CASE l.unit WHEN 'micros' THEN ? WHEN 'images' THEN r.n WHEN 'requests' THEN 1 ELSE 0 END,
        held = held - CASE l.unit WHEN 'micros' THEN r.quote_micros WHEN 'images' THEN r.n WHEN 'requests' THEN 1
            ELSE r.state <> 'unknown' END
    FROM requests r, json_each(r.counter_ids) hold, limits l
    WHERE r.id = ? AND r.state IN ('dispatched', 'unknown') AND counters.id = hold.value AND l.id = counters.limit_id
    RETURNING (SELECT unit FROM limits WHERE limits.id = counters.limit_id),
        (SELECT amount FROM limits WHERE limits.id = counters.limit_id) - spent - held
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
