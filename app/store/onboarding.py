"""Query for the first steps of an installation."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import requests, usage


async def any_purchase(connection: AsyncConnection) -> bool:
    """True once a request was made or usage was booked."""
    for table in (requests, usage):
        if (await connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1))).first() is not None:
            return True
    return False
