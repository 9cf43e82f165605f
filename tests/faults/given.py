"""What tests of crashes and of clients that leave have in common."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.store.engine import SQLITE_FILE, Database
from tests.gateways import book, new_key, set_limit

QUOTE = 1_000_000
Books = Callable[..., Database]


async def is_in(database: Database, state: str, count: int = 1) -> bool:
    return [row["state"] for row in await book(database)].count(state) == count


async def only_row(database: Database) -> dict[str, object]:
    [row] = await book(database)
    return row


async def limited_key(database: Database) -> str:
    """A key with 10.00 a month, and a place for one request at a time."""
    key = await new_key(database)
    await set_limit(database, "user", "lin", "micros", "month", 10 * QUOTE)
    await set_limit(database, "user", "lin", "in_flight", "lifetime", 1)
    return key.key


@asynccontextmanager
async def write_locked(folder: Path) -> AsyncIterator[None]:
    """Another program writes to the SQLite file, for as long as the block lasts."""
    with contextlib.closing(
        sqlite3.connect(folder / SQLITE_FILE, isolation_level=None, check_same_thread=False)
    ) as other:
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
