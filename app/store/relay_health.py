"""Outcomes of the newest requests and the newest refusals, read by the indexes of their times and for a bounded number of rows."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import refusal_log, requests


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """Request with what tells how the relay does. `error_code` is None where its client got images."""

    state: str
    http_status: int | None
    error_code: str | None
    upstream_ms: int | None
    reserved_at_ms: int


@dataclass(frozen=True, slots=True)
class RecentRefusal:
    """Refusal of our own, or `count` equal ones in a row."""

    error_code: str
    count: int
    at_ms: int


async def recent_requests(
    connection: AsyncConnection, since_ms: int, limit: int, relay: str | None
) -> list[RecentRequest]:
    """List the newest `limit` requests that were reserved since an instant, newest first; only those that went to `relay` last,
    where that is given."""
    columns = [requests.c[name] for name in RecentRequest.__slots__]
    select = sa.select(*columns).where(requests.c.reserved_at_ms >= since_ms)
    if relay is not None:
        select = select.where(requests.c.relay == relay)
    newest = select.order_by(requests.c.reserved_at_ms.desc()).limit(limit)
    return [RecentRequest(**row) for row in (await connection.execute(newest)).mappings()]


async def recent_refusals(connection: AsyncConnection, since_ms: int, limit: int) -> list[RecentRefusal]:
    """List the newest `limit` refusals since an instant, newest first."""
    columns = refusal_log.c["error_code", "count", "at_ms"]
    select = sa.select(*columns).where(refusal_log.c.at_ms >= since_ms)
    rows = await connection.execute(select.order_by(refusal_log.c.at_ms.desc()).limit(limit))
    return [RecentRefusal(row.error_code or "", row[1], row.at_ms) for row in rows]
