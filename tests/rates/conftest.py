"""Every rule of the rates is tried on memory and on a real Redis."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.rates.redis import connect
from tests.rates.stores import MemoryStore, RedisStore, Store
from tests.servers import RedisServer


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with connect(request.getfixturevalue("redis_url"), step_timeout_s=60) as client:
        yield RedisStore(client)


@pytest.fixture
def breakable_redis() -> Iterator[RedisServer]:
    """A Redis of the test's own, to be killed, frozen and filled; never the one of TEST_REDIS_URL."""
    with RedisServer() as server:
        yield server
