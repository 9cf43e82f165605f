"""Retries of SDKs that send no idempotency key: finds the original request that a retry belongs to."""

import sqlite3
from typing import TYPE_CHECKING, Protocol

from app.store.writer import Writer

if TYPE_CHECKING:
    from app.store.postgresql import Pool  # asyncpg takes 5 MiB, which SQLite does not need.

REMEMBER_MS = 120_000
"""Time after its end, or its last try, in which a retry may join a request. SDKs retry within seconds."""
LONGEST_MS = 7_200_000
"""Age of a request beyond which no retry joins it. No call of a client lasts longer."""


class Retries(Protocol):
    """Originals and refusals that retries look up in one database. Raises StoreUnavailable or StorageFull.

    Each call of a client leaves at most one record: an original, a release, or a refusal. A retry consumes at most one. So equal
    calls are bought no more often than they were made, even where the retry of one consumes the record of another.
    """

    async def adopt(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
        """Find the original that retry number `count` joins, record one more try of it, and return its id.

        Return None when the retry has to buy, because its call has no record or was refused or released before. Such a refusal
        or release is consumed. Candidates are records with at most `count` tries (fewer when a try never arrived). Of these the
        retry takes one with the most tries: a refusal before a request, then an undelivered request, then the oldest.
        """
        ...

    async def note_refusal(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
        """Record that try number `count` was refused before anything was bought: the retry after it joins no request."""
        ...

    async def disown(self, request_id: str, tries: int) -> bool:
        """Keep retries from joining a request that is reserved and not sent. False when one has joined it since it had
        `tries`, or when it is not reserved any more."""
        ...

    async def delivered(self, request_ids: list[str], at_ms: int) -> None:
        """Record that the last byte of these answers has been handed over. The first time is kept."""
        ...


class SqliteRetries:
    """Implementation of `Retries` over the writer of the ledger."""

    def __init__(self, writer: Writer):
        self._writer = writer

    async def adopt(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
        return await self._writer.run(lambda db: _adopt(db, api_key_id, fingerprint, count, now_ms))

    async def note_refusal(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
        def note(db: sqlite3.Connection) -> None:
            db.execute(_FORGET, (now_ms - REMEMBER_MS,))
            db.execute(_NOTE, (api_key_id, fingerprint, count + 1, now_ms))

        await self._writer.run(note)

    async def disown(self, request_id: str, tries: int) -> bool:
        row = (request_id, tries)
        return await self._writer.run(lambda db: db.execute(_DISOWN, row).rowcount == 1)

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


class PostgresqlRetries:
    """Implementation of `Retries` over the pool of the ledger."""

    def __init__(self, pool: "Pool"):
        self._pool = pool

    async def adopt(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> str | None:
        since_ms = now_ms - REMEMBER_MS
        row = await self._pool.row(_ADOPT, api_key_id, fingerprint, count, now_ms, since_ms, now_ms - LONGEST_MS)
        return None if row is None or row["state"] == "released" else str(row["id"])

    async def note_refusal(self, api_key_id: str, fingerprint: bytes, count: int, now_ms: int) -> None:
        await self._pool.value(_FORGET_PG, now_ms - REMEMBER_MS)
        await self._pool.value(_NOTE_PG, api_key_id, fingerprint, count + 1, now_ms)

    async def disown(self, request_id: str, tries: int) -> bool:
        return await self._pool.value(_DISOWN_PG, request_id, tries) is not None

    async def delivered(self, request_ids: list[str], at_ms: int) -> None:
        await self._pool.value(_DELIVERED_PG, request_ids, at_ms)


# A released request is found once: the request bought instead is the original from then on. On both databases.
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
_JOIN = """
    UPDATE requests SET tries = ?, tried_at_ms = ?, fingerprint = CASE state WHEN 'released' THEN NULL ELSE fingerprint END
    WHERE id = ?
"""
_FORGET = "DELETE FROM refusals WHERE at_ms < ?"
_NOTE = "INSERT INTO refusals (api_key_id, fingerprint, tries, at_ms) VALUES (?, ?, ?, ?)"
_DISOWN = "UPDATE requests SET fingerprint = NULL WHERE id = ? AND state = 'reserved' AND tries = ?"
_DELIVERED = "UPDATE requests SET delivered_at_ms = ? WHERE id = ? AND delivered_at_ms IS NULL"

# Waits for a row that another retry has locked, then takes the next one: skipping locked rows would buy again.
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
_FORGET_PG = "DELETE FROM refusals WHERE at_ms < $1"
_NOTE_PG = "INSERT INTO refusals (api_key_id, fingerprint, tries, at_ms) VALUES ($1, $2, $3, $4)"
_DISOWN_PG = "UPDATE requests SET fingerprint = NULL WHERE id = $1 AND state = 'reserved' AND tries = $2 RETURNING id"
_DELIVERED_PG = "UPDATE requests SET delivered_at_ms = $2 WHERE id = ANY($1::text[]) AND delivered_at_ms IS NULL"
