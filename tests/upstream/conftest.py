from collections.abc import AsyncIterator

import pytest

from app.upstream.client import HttpUpstream
from tests.upstream.raw_server import RawServer, running_raw_server


@pytest.fixture
async def relay() -> AsyncIterator[RawServer]:
    async with running_raw_server() as server:
        yield server


@pytest.fixture
async def upstream(relay: RawServer) -> AsyncIterator[HttpUpstream]:
    """A client of `relay` with short timeouts."""
    client = HttpUpstream(relay.url + "/v1", "sk-secret", connect_timeout_s=2, read_timeout_s=0.3)
    yield client
    await client.close()
