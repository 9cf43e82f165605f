from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.upstream.client import HttpUpstream
from benchmarks.certificate import certify
from tests.upstream.raw_server import RawServer, running_raw_server


@pytest.fixture
async def relay() -> AsyncIterator[RawServer]:
    async with running_raw_server() as server:
        yield server


@pytest.fixture
async def upstream(request: pytest.FixtureRequest, relay: RawServer) -> AsyncIterator[HttpUpstream]:
    """A client of `relay`. Where a test lets that one `hang`, it waits for half a second only."""
    chosen = getattr(getattr(request.node, "callspec", None), "params", {})
    hangs = any(getattr(value, "__name__", "") == "hang" for value in chosen.values())
    read_timeout_s = 0.5 if hangs else 60
    client = HttpUpstream(relay.url + "/v1", "sk-secret", connect_timeout_s=60, read_timeout_s=read_timeout_s)
    yield client
    await client.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that no system trusts; its key is beside it."""
    made = certify(tmp_path)
    if made is None:
        pytest.skip("there is no openssl on the PATH")
    return made
