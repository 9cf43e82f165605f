"""Counts of what an owner should look at. Each reads an index of few rows, or a table of settings, however long the book is."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import deliveries, is_unresolved, requests


async def unknown_requests(connection: AsyncConnection) -> tuple[int, int]:
    """Count the requests of unknown outcome, and sum what is held for them in micros."""
    held = sa.cast(sa.func.coalesce(sa.func.sum(requests.c.quote_micros), 0), sa.BigInteger)
    select = sa.select(sa.func.count(), held).where(is_unresolved, requests.c.state == "unknown")
    count, held_micros = (await connection.execute(select)).one()
    return int(count), int(held_micros)


async def undelivered(connection: AsyncConnection, since_ms: int) -> int:
    """Count the messages of alerts that were given up since an instant (Unix ms)."""
    given_up = sa.and_(deliveries.c.state == "failed", deliveries.c.ended_at_ms >= since_ms)
    return int((await connection.execute(sa.select(sa.func.count()).where(given_up))).scalar_one())
