"""Ledger on PostgreSQL: one statement per transition, READ COMMITTED.

Counters are locked first, in one order (by id, the organization's last), then the decision is made on the locked rows, then it
is written. "Update, then count the rows" would leak holds: a part of a statement that changes nothing does not undo the others.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from app.errors import StoreUnavailable
from app.store.engine import AWAY
from app.store.ledger.columns import (
    NOT_BOOKED,
    UNRESOLVED,
    Ending,
    Reservation,
    Settlement,
    State,
    assignments,
    names,
    numbers,
    placeholders,
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
from app.store.postgresql import TRIES, Pool


class PostgresqlLedger:
    """Implementation of `Ledger` over a pool of connections."""

    def __init__(self, pool: Pool):
        self._pool = pool

    async def reserve(self, reservation: Reservation) -> ReserveOutcome:
        for _ in range(TRIES):
            try:
                outcome = await self._reserve(reservation)
            except asyncpg.UniqueViolationError:
                return IdempotencyKeyTaken()
            if outcome is not None:
                return outcome
            await self._open_counters(reservation)
        raise StoreUnavailable(AWAY)

    async def dispatch(
        self, request_id: str, owner: str, at_ms: int, relay: str, refused: RefusedDispatch | None = None
    ) -> bool:
        row = (request_id, owner, at_ms, relay)
        if refused is None:
            return await self._pool.value(_DISPATCH, *row) is not None
        return await self._pool.value(_DISPATCH_AFTER, *row, refused.relay, refused.at_ms, refused.code) is not None

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        states: tuple[State, ...] = ("dispatched", "unknown")
        row = await self._end(request_id, "settled", states, settlement.ending, settlement=settlement)
        return row and [Room(unit, left) for unit, left in zip(row["units"], row["lefts"], strict=True)]

    async def release(
        self, request_id: str, ending: Ending, states: Sequence[State] = UNRESOLVED, owner: str | None = None
    ) -> bool:
        return await self._end(request_id, "released", states, ending, owner) is not None

    async def give_up(self, request_id: str, ending: Ending) -> bool:
        return await self._end(request_id, "unknown", ("dispatched",), ending) is not None

    async def close(self) -> None:
        await self._pool.close()

    async def _reserve(self, reservation: Reservation) -> ReserveOutcome | None:
        """Return None when a counter does not exist yet: one inserted in the same statement would be invisible to its UPDATE."""
        keys = reservation.counter_keys
        holds = [reservation.hold(key.limit.unit) for key in keys]
        columns = (*values(reservation), reservation.reserved_at_ms)
        earlier = (reservation.looked_up_digest, reservation.reserved_at_ms, reservation.reserved_at_ms)
        row = await self._pool.row(
            _RESERVE, *_counter_rows(reservation), holds, reservation.revision, *columns, *earlier
        )
        if row["granted"]:
            return Reserved(row["duplicate_of"])
        if row["revision"] != reservation.revision:
            return Stale()
        left = dict(zip(row["limit_ids"], row["lefts"], strict=True))
        if len(left) < len(keys):
            return None
        key, needed = next((key, hold) for key, hold in zip(keys, holds, strict=True) if left[key.limit.id] < hold)
        return LimitExceeded(key, needed, left[key.limit.id])

    async def _open_counters(self, reservation: Reservation) -> None:
        await self._pool.value(_OPEN_COUNTERS, *_counter_rows(reservation))

    async def _end(
        self,
        request_id: str,
        state: State,
        states: Sequence[State],
        ending: Ending,
        owner: str | None = None,
        settlement: Settlement | None = None,
    ) -> Any:
        """Return None, with nothing changed, when the request is in none of `states` or of another owner."""
        booked: tuple[Any, ...] = NOT_BOOKED
        bucket: tuple[Any, ...] = (None, None)
        result: tuple[Any, ...] = (None,) * 4
        if settlement is not None:
            booked, bucket = values(settlement), (settlement.hour_at_ms, settlement.day)
            if (stored := settlement.result) is not None:
                result = (stored.body, stored.body_bytes, stored.created_at_ms, stored.expires_at_ms)
        guard = (request_id, list(states), owner)
        return await self._pool.row(
            _END, *guard, state, ending.is_retryable, *bucket, *result, *values(ending), *booked
        )


def _counter_rows(reservation: Reservation) -> tuple[list[int], list[int]]:
    keys = reservation.counter_keys
    return [key.limit.id for key in keys], [key.starts_at_ms for key in keys]


_NUMBERS = numbers(5)
_RESERVE = f"""
    WITH locked AS (
        SELECT c.id, c.limit_id, l.amount - c.spent - c.held AS room, key.needed
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS key (limit_id, starts_at_ms, needed)
        JOIN counters c ON c.limit_id = key.limit_id AND c.starts_at_ms = key.starts_at_ms
        JOIN limits l ON l.id = c.limit_id
        ORDER BY l.scope = 'organization', c.id
        FOR UPDATE OF c
    ), verdict AS (
        SELECT revision, revision = $4::bigint AND (SELECT count(*) FROM locked) = cardinality($1)
            AND (SELECT coalesce(bool_and(room >= needed), true) FROM locked) AS granted
        FROM organization
    ), held AS (
        UPDATE counters c SET held = c.held + locked.needed FROM locked, verdict WHERE c.id = locked.id AND verdict.granted
    ), written AS (
        INSERT INTO requests ({names(Reservation)}, tried_at_ms, counter_ids, state, duplicate_of)
        SELECT {placeholders(Reservation, _NUMBERS)}, {next(_NUMBERS)},
               (SELECT coalesce(array_agg(id), '{{}}') FROM locked), 'reserved', ({earlier_picture_sql(_NUMBERS, casts=True)})
        FROM verdict WHERE granted
        RETURNING duplicate_of
    )
    SELECT granted, revision, (SELECT coalesce(array_agg(limit_id ORDER BY id), '{{}}') FROM locked) AS limit_ids,
           (SELECT coalesce(array_agg(room ORDER BY id), '{{}}') FROM locked) AS lefts,
           (SELECT duplicate_of FROM written) AS duplicate_of
    FROM verdict
"""  # noqa: S608  (constants only)

_OPEN_COUNTERS = """
    INSERT INTO counters (limit_id, starts_at_ms, spent, held)
    SELECT limit_id, starts_at_ms, 0, 0 FROM unnest($1::bigint[], $2::bigint[]) AS key (limit_id, starts_at_ms)
    ORDER BY limit_id ON CONFLICT DO NOTHING
"""

_DISPATCH = """
    UPDATE requests SET state = 'dispatched', dispatched_at_ms = $3, relay = $4 WHERE id = $1 AND owner = $2
        AND state IN ('reserved', 'dispatched')
    RETURNING id
"""

_DISPATCH_AFTER = f"""
    WITH marked AS ({_DISPATCH}), refused AS (
        INSERT INTO refused_dispatches (request_id, relay, dispatched_at_ms, code)
        SELECT id, $5::text, $6::bigint, $7::text FROM marked ON CONFLICT DO NOTHING
    )
    SELECT id FROM marked
"""  # noqa: S608  (constants only)

_END = f"""
    WITH before AS (
        SELECT * FROM requests WHERE id = $1 AND state = ANY($2::text[]) AND ($3::text IS NULL OR owner = $3) FOR UPDATE
    ), ended AS (
        UPDATE requests r SET state = $4, {assignments((Ending, Settlement), numbers(12))},
            idempotency_key = CASE WHEN $4 = 'released' THEN NULL ELSE r.idempotency_key END,
            fingerprint = CASE WHEN $4 <> 'released' OR $5::boolean AND r.idempotency_key IS NULL THEN r.fingerprint END,
            duplicate_digest = CASE WHEN $4 <> 'released' THEN r.duplicate_digest END
        FROM before WHERE r.id = before.id
        RETURNING r.*, before.state AS was
    ), locked AS (
        SELECT c.id, l.unit, l.amount FROM before JOIN counters c ON c.id = ANY(before.counter_ids)
        JOIN limits l ON l.id = c.limit_id
        ORDER BY l.scope = 'organization', c.id
        FOR UPDATE OF c
    ), moved AS (  -- by the difference between what the request held before and what it holds and has spent now
        UPDATE counters c SET
            spent = c.spent + {spent_sql("ended", "ended.state", "locked.unit")},
            held = c.held - {held_sql("ended", "ended.was", "locked.unit")}
                + {held_sql("ended", "ended.state", "locked.unit")}
        FROM locked, ended WHERE c.id = locked.id
        RETURNING locked.unit, locked.amount - c.spent - c.held AS room
    ), rolled_up AS (  -- triggers on `usage` add the same sums to the other roll-ups (migrations 0008 and 0032)
        {roll_up_sql("ended, (SELECT count(*) FROM moved) AS counters_first WHERE state = 'settled'", "$6::bigint", "$7::text")}
    ), kept AS (
        INSERT INTO results (request_id, body, body_bytes, created_at_ms, expires_at_ms)
        SELECT id, $8::bytea, $9::bigint, $10::bigint, $11::bigint FROM ended
        WHERE state = 'settled' AND $9::bigint IS NOT NULL ON CONFLICT DO NOTHING
    )
    SELECT (SELECT coalesce(array_agg(unit), '{{}}') FROM moved WHERE room IS NOT NULL) AS units,
           (SELECT coalesce(array_agg(room), '{{}}') FROM moved WHERE room IS NOT NULL) AS lefts
    FROM ended
"""  # noqa: S608  (constants only)
"""`counters_first`: every statement takes its locks in one order, so the roll-up waits for the counters."""
