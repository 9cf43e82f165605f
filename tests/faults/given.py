"""What tests of crashes and of clients that leave have in common."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.store.engine import SQLITE_FILE, Database
from tests.gateways import Running, book, new_key, set_limit
from tests.money.books import until

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


def call(key: str, prompt: str, *, sent: float = 1.0) -> bytes:
    """The bytes of a request, or the first part of its body."""
    body = b'{"model": "gpt-image-1", "n": 4, "prompt": "%s"}' % prompt.encode()
    head = f"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body[: int(len(body) * sent)]


async def hang_up_while_locked(running: Running, folder: Path, host: str, port: int, key: str) -> None:
    """Send a request while the SQLite database in `folder` is locked, leave before it is admitted, and wait for its end.

    The gateway has to know the key already: it cannot look it up while the database is locked.
    """
    service = running.gateway.image_service

    async def is_in_flight(count: int) -> bool:
        return service.in_flight == count

    lock = sqlite3.connect(folder / SQLITE_FILE, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    _, writer = await asyncio.open_connection(host, port)
    writer.write(call(key, "nobody waits for this"))
    await until(lambda: is_in_flight(1))
    writer.close()
    await writer.wait_closed()
    lock.execute("ROLLBACK")
    lock.close()
    await until(lambda: is_in_flight(0))
    await running.gateway.background.finish(5)
