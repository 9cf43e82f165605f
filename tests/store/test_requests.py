"""Reading the book of requests."""

import pytest

from app.store import keys, organization, requests
from app.store.engine import Database
from app.store.keys import StoredKey
from app.store.organization import User
from tests.databases import insert_request


@pytest.fixture
async def book(database: Database) -> Database:
    """Three requests: of lin, of bo, of lin, at 1, 2 and 3 ms."""
    async with database.write() as connection:
        for name in ("lin", "bo"):
            await organization.insert_user(connection, User(f"user-{name}", name, None, 1))
            key = StoredKey(f"key_{name}", f"user-{name}", "proj_default", name, b"", "wxyz", None, 1, None)
            await keys.insert_key(connection, key)
    for at_ms, name in enumerate(("lin", "bo", "lin"), start=1):
        await insert_request(database, f"user-{name}", f"key_{name}", id=f"req_{at_ms}", reserved_at_ms=at_ms)
    return database


async def test_a_request_is_shown_whole_with_how_long_it_took(book: Database) -> None:
    settled = {"state": "settled", "cost_micros": 80_000, "images": 1, "ended_at_ms": 1_234, "stream": 1}
    await insert_request(book, "user-bo", "key_bo", id="req_9", reserved_at_ms=1_000, **settled)

    async with book.read() as connection:
        found = await requests.find_request(connection, "req_9")
        open_one = await requests.find_request(connection, "req_1")
        nothing = await requests.find_request(connection, "req_0")

    assert found is not None and open_one is not None and nothing is None
    assert (found.cost_micros, found.stream, found.project, found.total_ms) == (80_000, True, "default", 234)
    assert (open_one.cost_micros, open_one.total_ms) == (None, None)
