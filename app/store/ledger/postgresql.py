"""The money of a request on PostgreSQL: one statement per transition, READ COMMITTED.

Counters are locked first, in one order (by id, the organization's last), then the decision is made on the locked rows, then it
is written. "Update, then count the rows" would leak holds: a part of a statement that changes nothing does not undo the others.
"""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from app.errors import StoreUnavailable
from app.store.engine import AWAY
from app.store.ledger.types import (
    ORDER_COLUMNS,
    UNRESOLVED,
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
from app.store.postgresql import TRIES, Pool


class PostgresqlLedger:
    """`Ledger` over a pool of connections."""

    def __init__(self, pool: Pool):
        self._pool = pool

    async def reserve(self, order: Order) -> Reserved | Refused | Stale | Duplicate:
        for _ in range(TRIES):
            try:
                outcome = await self._reserve(order)
            except asyncpg.UniqueViolationError:
                return Duplicate()
            if outcome is not None:
                return outcome
            await self._open_counters(order)
        raise StoreUnavailable(AWAY)

    async def dispatch(self, request_id: str, owner: str, at_ms: int, relay: str) -> bool:
        return await self._pool.value(_DISPATCH, request_id, owner, at_ms, relay) is not None

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        states: tuple[State, ...] = ("dispatched", "unknown")
        row = await self._end(request_id, "settled", states, settlement.ending, booked=_booked(settlement))
        return row and [Room(unit, left) for unit, left in zip(row["units"], row["lefts"], strict=True)]

    async def release(
        self, request_id: str, ending: Ending, states: Sequence[State] = UNRESOLVED, owner: str | None = None
    ) -> bool:
        return await self._end(request_id, "released", states, ending, owner) is not None

    async def give_up(self, request_id: str, ending: Ending) -> bool:
        return await self._end(request_id, "unknown", ("dispatched",), ending) is not None

    async def close(self) -> None:
        await self._pool.close()

    async def _reserve(self, order: Order) -> Reserved | Refused | Stale | None:
        """None when a counter does not exist yet: one inserted in the same statement would be invisible to its UPDATE."""
        limit_ids, starts = _slots(order)
        row = await self._pool.row(_RESERVE, limit_ids, starts, order.revision, *order.row())
        if row["granted"]:
            return Reserved()
        if row["revision"] != order.revision:
            return Stale()
        left = dict(zip(row["limit_ids"], row["lefts"], strict=True))
        if len(left) < len(order.counter_keys):
            return None
        tight = next(key for key in order.counter_keys if left[key.limit.id] < order.needs.of(key.limit.unit))
        return Refused(tight, order.needs.of(tight.limit.unit), left[tight.limit.id])

    async def _open_counters(self, order: Order) -> None:
        await self._pool.value(_OPEN, *_slots(order))

    async def _end(
        self,
        request_id: str,
        state: State,
        states: Sequence[State],
        ending: Ending,
        owner: str | None = None,
        booked: Sequence[Any] = (None,) * 13,
    ) -> Any:
        """None when no row was in one of `states`."""
        error = None if ending.error is None else json.dumps(ending.error)
        told = (
            ending.at_ms,
            ending.http_status,
            ending.error_code,
            error,
            ending.upstream_request_id,
            ending.upstream_ms,
        )
        return await self._pool.row(_END, request_id, list(states), owner, state, *told, *booked, ending.is_retryable)


def _booked(settlement: Settlement) -> tuple[Any, ...]:
    result = settlement.result
    kept = (
        (None,) * 4 if result is None else (result.body, result.body_bytes, result.created_at_ms, result.expires_at_ms)
    )
    return (
        settlement.cost_micros,
        settlement.images,
        settlement.size,
        settlement.quality,
        settlement.flag,
        settlement.input_tokens,
        settlement.output_tokens,
        settlement.hour_at_ms,
        settlement.day,
        *kept,
    )


def _slots(order: Order) -> tuple[list[int], list[int]]:
    return [key.limit.id for key in order.counter_keys], [key.starts_at_ms for key in order.counter_keys]


_RESERVE = f"""
    WITH locked AS (
        SELECT c.id, c.limit_id, l.unit, l.amount - c.spent - c.held AS room
        FROM unnest($1::bigint[], $2::bigint[]) AS slot (limit_id, starts_at_ms)
        JOIN counters c ON c.limit_id = slot.limit_id AND c.starts_at_ms = slot.starts_at_ms
        JOIN limits l ON l.id = c.limit_id
        ORDER BY l.scope = 'organization', c.id
        FOR UPDATE OF c
    ), needed AS (
        SELECT *, CASE unit WHEN 'micros' THEN $17::bigint WHEN 'images' THEN $11::integer ELSE 1 END AS amount FROM locked
    ), verdict AS (
        SELECT revision, revision = $3::bigint AND (SELECT count(*) FROM locked) = cardinality($1)
            AND (SELECT coalesce(bool_and(room >= amount), true) FROM needed) AS granted
        FROM organization
    ), held AS (
        UPDATE counters c SET held = c.held + needed.amount FROM needed, verdict WHERE c.id = needed.id AND verdict.granted
    ), written AS (
        INSERT INTO requests ({ORDER_COLUMNS}, counter_ids, state)
        SELECT $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
               $23, $24, $25,
               (SELECT coalesce(array_agg(id), '{{}}') FROM locked), 'reserved'
        FROM verdict WHERE granted
    )
    SELECT granted, revision, (SELECT coalesce(array_agg(limit_id ORDER BY id), '{{}}') FROM locked) AS limit_ids,
           (SELECT coalesce(array_agg(room ORDER BY id), '{{}}') FROM locked) AS lefts
    FROM verdict
"""  # noqa: S608  (constants only)

_OPEN = """
    INSERT INTO counters (limit_id, starts_at_ms, spent, held)
    SELECT limit_id, starts_at_ms, 0, 0 FROM unnest($1::bigint[], $2::bigint[]) AS slot (limit_id, starts_at_ms)
    ORDER BY limit_id ON CONFLICT DO NOTHING
"""

_DISPATCH = """
    UPDATE requests SET state = 'dispatched', dispatched_at_ms = $3, relay = $4 WHERE id = $1 AND owner = $2
        AND state IN ('reserved', 'dispatched')
    RETURNING id
"""

_END = """
    WITH before AS (
        SELECT * FROM requests WHERE id = $1 AND state = ANY($2::text[]) AND ($3::text IS NULL OR owner = $3) FOR UPDATE
    ), ended AS (
        UPDATE requests r SET state = $4, ended_at_ms = $5, http_status = $6, error_code = $7, error = $8::json,
            upstream_request_id = coalesce($9, r.upstream_request_id), upstream_ms = coalesce($10, r.upstream_ms),
            idempotency_key = CASE WHEN $4 = 'released' THEN NULL ELSE r.idempotency_key END,
            fingerprint = CASE WHEN $4 <> 'released' OR $24::boolean AND r.idempotency_key IS NULL THEN r.fingerprint END,
            cost_micros = $11, images = $12, size = coalesce($13, r.size), quality = coalesce($14, r.quality), flag = $15,
            input_tokens = $16, output_tokens = $17
        FROM before WHERE r.id = before.id
        RETURNING r.*, before.state AS was
    ), locked AS (
        SELECT c.id, l.unit, l.amount FROM before JOIN counters c ON c.id = ANY(before.counter_ids)
        JOIN limits l ON l.id = c.limit_id
        ORDER BY l.scope = 'organization', c.id
        FOR UPDATE OF c
    ), booked AS (
        UPDATE counters c SET
            spent = c.spent + CASE WHEN ended.state <> 'settled' THEN 0 ELSE
                CASE locked.unit WHEN 'micros' THEN ended.cost_micros WHEN 'images' THEN ended.n WHEN 'requests' THEN 1
                ELSE 0 END END,
            held = c.held - CASE WHEN locked.unit = 'in_flight' THEN (ended.was <> 'unknown')::integer
                WHEN ended.state = 'unknown' THEN 0
                ELSE CASE locked.unit WHEN 'micros' THEN ended.quote_micros WHEN 'images' THEN ended.n ELSE 1 END END
        FROM locked, ended WHERE c.id = locked.id
        RETURNING locked.unit, locked.amount - c.spent - c.held AS room
    ), rolled_up AS (
        INSERT INTO usage (hour_at_ms, day, project_id, user_id, api_key_id, model, operation, size, quality,
                           requests, images, cost_micros, input_tokens, output_tokens)
        SELECT $18::bigint, $19::text, project_id, user_id, api_key_id, model, operation, coalesce(size, ''),
               coalesce(quality, ''), 1, images, cost_micros, coalesce(input_tokens, 0), coalesce(output_tokens, 0)
        FROM ended, (SELECT count(*) FROM booked) AS counters_first  -- every statement takes its locks in one order
        WHERE ended.state = 'settled'
        ON CONFLICT (hour_at_ms, day, project_id, user_id, api_key_id, model, operation, size, quality) DO UPDATE SET
            requests = usage.requests + 1, images = usage.images + excluded.images,
            cost_micros = usage.cost_micros + excluded.cost_micros,
            input_tokens = usage.input_tokens + excluded.input_tokens,
            output_tokens = usage.output_tokens + excluded.output_tokens
    ), kept AS (
        INSERT INTO results (request_id, body, body_bytes, created_at_ms, expires_at_ms)
        SELECT id, $20::bytea, $21::bigint, $22::bigint, $23::bigint FROM ended
        WHERE state = 'settled' AND $21::bigint IS NOT NULL ON CONFLICT DO NOTHING
    )
    SELECT (SELECT coalesce(array_agg(unit), '{}') FROM booked WHERE room IS NOT NULL) AS units,
           (SELECT coalesce(array_agg(room), '{}') FROM booked WHERE room IS NOT NULL) AS lefts
    FROM ended
"""
