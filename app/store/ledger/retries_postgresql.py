"""The bookkeeping of tries on PostgreSQL."""

from app.store.ledger.originals import LONGEST_MS, REMEMBER_MS
from app.store.postgresql import Pool


class PostgresqlRetries:
    """`Retries` over the pool that also books."""

    def __init__(self, pool: Pool):
        self._pool = pool

    async def adopt(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
        since_ms = now_ms - REMEMBER_MS
        row = await self._pool.row(_ADOPT, api_key_id, fingerprint, count, now_ms, since_ms, now_ms - LONGEST_MS)
        return None if row is None or row["state"] == "released" else str(row["id"])

    async def note_refusal(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
        await self._pool.value(_FORGET, now_ms - REMEMBER_MS)
        await self._pool.value(_NOTE, api_key_id, fingerprint, count + 1, now_ms)

    async def disown(self, request_id: str, tries: int) -> bool:
        return await self._pool.value(_DISOWN, request_id, tries) is not None

    async def delivered(self, request_ids: list[str], at_ms: int) -> None:
        await self._pool.value(_DELIVERED, request_ids, at_ms)


# Fewer tries than the client counts: those in between found nobody here.
# A row that somebody else is about to take is waited for, and the next one taken then: skipping it would buy again.
# A released one is followed once: what is bought instead of it is the original from then on.
_ADOPT = """
    WITH original AS MATERIALIZED (
        SELECT id, state, tries FROM requests
        WHERE api_key_id = $1 AND fingerprint = $2 AND tries <= $3 AND idempotency_key IS NULL AND reserved_at_ms > $6
          AND (ended_at_ms IS NULL OR greatest(ended_at_ms, tried_at_ms) > $5)
        ORDER BY tries DESC, delivered_at_ms IS NOT NULL, reserved_at_ms, id LIMIT 1 FOR UPDATE
    ), refusal AS (
        DELETE FROM refusals WHERE id = (
            SELECT id FROM refusals WHERE api_key_id = $1 AND fingerprint = $2 AND at_ms > $5
              AND tries BETWEEN coalesce((SELECT tries FROM original), 0) AND $3
            ORDER BY tries DESC, id LIMIT 1 FOR UPDATE
        ) RETURNING id
    )
    UPDATE requests SET tries = $3 + 1, tried_at_ms = $4,
        fingerprint = CASE original.state WHEN 'released' THEN NULL ELSE requests.fingerprint END
    FROM original WHERE requests.id = original.id AND NOT EXISTS (SELECT FROM refusal)
    RETURNING requests.id, original.state
"""
_FORGET = "DELETE FROM refusals WHERE at_ms < $1"
_NOTE = "INSERT INTO refusals (api_key_id, fingerprint, tries, at_ms) VALUES ($1, $2, $3, $4)"
_DISOWN = "UPDATE requests SET fingerprint = NULL WHERE id = $1 AND state = 'reserved' AND tries = $2 RETURNING id"
_DELIVERED = """
    UPDATE requests SET delivered_at_ms = $2 WHERE id = ANY($1::text[]) AND delivered_at_ms IS NULL
"""
