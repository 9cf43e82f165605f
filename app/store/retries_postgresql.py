"""The bookkeeping of tries on PostgreSQL."""

import asyncpg

from app.store.originals import LONGEST_MS, REMEMBER_MS
from app.store.postgresql import Pool


class PostgresqlRetries:
    """`Retries` over the pool that also books."""

    def __init__(self, pool: Pool):
        self._pool = pool

    async def adopt(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
        return await self._pool.transaction(lambda db: _adopt(db, api_key_id, fingerprint, count, now_ms))

    async def note_refusal(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
        await self._pool.value(_TIDY, now_ms - REMEMBER_MS)
        await self._pool.value(_NOTE, api_key_id, fingerprint, count + 1, now_ms)

    async def disown(self, request_id: str, tries: int) -> bool:
        return await self._pool.value(_DISOWN, request_id, tries) is not None

    async def delivered(self, request_ids: list[str], at_ms: int) -> None:
        await self._pool.value(_DELIVERED, request_ids, at_ms)


async def _adopt(db: asyncpg.Connection, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
    since_ms = now_ms - REMEMBER_MS
    original = await db.fetchrow(_FIND, api_key_id, fingerprint, count, now_ms - LONGEST_MS, since_ms)
    id, state, tries = original or (None, None, 0)
    if await db.fetchval(_CONSUME, api_key_id, fingerprint, tries, count, since_ms) is not None or id is None:
        return None
    if state == "released":
        await db.execute(_FORGET, id)
        return None
    await db.execute(_JOIN, id, count + 1, now_ms)
    return str(id)


# Fewer tries than the client counts: those in between found nobody here.
# A row that somebody else is about to take is waited for, and the next one taken then: skipping it would buy again.
_FIND = """
    SELECT id, state, tries FROM requests
    WHERE api_key_id = $1 AND fingerprint = $2 AND tries <= $3 AND idempotency_key IS NULL AND reserved_at_ms > $4
      AND (ended_at_ms IS NULL OR greatest(ended_at_ms, tried_at_ms) > $5)
    ORDER BY tries DESC, delivered_at_ms IS NOT NULL, reserved_at_ms, id LIMIT 1 FOR UPDATE
"""
_CONSUME = """
    DELETE FROM refusals WHERE id = (
        SELECT id FROM refusals WHERE api_key_id = $1 AND fingerprint = $2 AND tries BETWEEN $3 AND $4 AND at_ms > $5
        ORDER BY tries DESC, id LIMIT 1 FOR UPDATE
    ) RETURNING id
"""
_JOIN = "UPDATE requests SET tries = $2, tried_at_ms = $3 WHERE id = $1"
# A released one is followed once: what is bought instead of it is the original from then on.
_FORGET = "UPDATE requests SET fingerprint = NULL WHERE id = $1"
_TIDY = "DELETE FROM refusals WHERE at_ms < $1"
_NOTE = "INSERT INTO refusals (api_key_id, fingerprint, tries, at_ms) VALUES ($1, $2, $3, $4)"
_DISOWN = "UPDATE requests SET fingerprint = NULL WHERE id = $1 AND state = 'reserved' AND tries = $2 RETURNING id"
_DELIVERED = """
    UPDATE requests SET delivered_at_ms = $2 WHERE id = ANY($1::text[]) AND delivered_at_ms IS NULL
"""
