"""Time limit for statements that may read many rows."""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import GatewayError
from app.store.engine import sqlite_error_kind

STEPS = 20_000
"""Instructions of SQLite between two looks at the clock: less than a millisecond."""
_CANCELLED_STATE = "57014"


@asynccontextmanager
async def time_limit(connection: AsyncConnection, limit_s: float, error: GatewayError) -> AsyncIterator[None]:
    """Stop what a read transaction still reads after `limit_s`, and raise `error`. The connection can be used afterwards."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    is_sqlite, end_s = connection.dialect.name == "sqlite", time.monotonic() + limit_s
    if is_sqlite:
        await driver.set_progress_handler(lambda: time.monotonic() > end_s, STEPS)
    else:
        await connection.execute(sa.text(f"SET LOCAL statement_timeout = {round(limit_s * 1000)}"))
    try:
        yield
    except DBAPIError as exc:
        if not _was_stopped(exc):
            raise
        raise error from exc
    finally:
        if is_sqlite:
            await driver.set_progress_handler(None, 0)


def _was_stopped(exc: DBAPIError) -> bool:
    cause: Any = exc.orig
    return sqlite_error_kind(cause) == sqlite3.SQLITE_INTERRUPT or getattr(cause, "sqlstate", None) == _CANCELLED_STATE
