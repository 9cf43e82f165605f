"""The bookkeeping of tries on SQLite, by the writer that also books."""

import sqlite3

from app.store.ledger.originals import LONGEST_MS, REMEMBER_MS
from app.store.writer import Writer


class SqliteRetries:
    """`Retries` over the one writer."""

    def __init__(self, writer: Writer):
        self._writer = writer

    async def adopt(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
        return await self._writer.run(lambda db: _adopt(db, api_key_id, fingerprint, count, now_ms))

    async def note_refusal(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
        await self._writer.run(lambda db: _note(db, api_key_id, fingerprint, count, now_ms))

    async def disown(self, request_id: str, tries: int) -> bool:
        return await self._writer.run(lambda db: db.execute(_DISOWN, (request_id, tries)).rowcount == 1)

    async def delivered(self, request_ids: list[str], at_ms: int) -> None:
        rows = [(at_ms, request_id) for request_id in request_ids]
        await self._writer.run(lambda db: db.executemany(_DELIVERED, rows).rowcount)


def _adopt(db: sqlite3.Connection, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
    since_ms = now_ms - REMEMBER_MS
    original = db.execute(_FIND, (api_key_id, fingerprint, count, now_ms - LONGEST_MS, since_ms)).fetchone()
    id, state, tries = original or (None, None, 0)
    if db.execute(_CONSUME, (api_key_id, fingerprint, tries, count, since_ms)).rowcount or id is None:
        return None
    db.execute(_JOIN, (count + 1, now_ms, id))
    return None if state == "released" else str(id)


def _note(db: sqlite3.Connection, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
    db.execute("DELETE FROM refusals WHERE at_ms < ?", (now_ms - REMEMBER_MS,))
    db.execute(_NOTE, (api_key_id, fingerprint, count + 1, now_ms))


# Fewer tries than the client counts: those in between found nobody here.
# The plus keeps SQLite to the index of fingerprints: it would read all of the key's requests of the last two hours.
_FIND = """
    SELECT id, state, tries FROM requests
    WHERE api_key_id = ? AND fingerprint = ? AND tries <= ? AND idempotency_key IS NULL AND +reserved_at_ms > ?
      AND (ended_at_ms IS NULL OR max(ended_at_ms, tried_at_ms) > ?)
    ORDER BY tries DESC, delivered_at_ms IS NOT NULL, reserved_at_ms, id LIMIT 1
"""
_CONSUME = """
    DELETE FROM refusals WHERE id = (
        SELECT id FROM refusals WHERE api_key_id = ? AND fingerprint = ? AND tries BETWEEN ? AND ? AND at_ms > ?
        ORDER BY tries DESC, id LIMIT 1
    )
"""
# A released one is followed once: what is bought instead of it is the original from then on.
_JOIN = """
    UPDATE requests SET tries = ?, tried_at_ms = ?, fingerprint = CASE state WHEN 'released' THEN NULL ELSE fingerprint END
    WHERE id = ?
"""
_NOTE = "INSERT INTO refusals (api_key_id, fingerprint, tries, at_ms) VALUES (?, ?, ?, ?)"
_DISOWN = "UPDATE requests SET fingerprint = NULL WHERE id = ? AND state = 'reserved' AND tries = ?"
_DELIVERED = "UPDATE requests SET delivered_at_ms = ? WHERE id = ? AND delivered_at_ms IS NULL"
