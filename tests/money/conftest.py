"""One gateway for the tests of a file, on each database; every test has users of its own in it."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import DatabaseUrl
from tests.gateways import RELAY_KEY, Running, prepare, running_gateway
from tests.servers import PostgresServer


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
async def shared_relay(anyio_backend: str, kind: str) -> AsyncIterator[RunningSandbox]:
    """One for each database, so that its bill is that database's alone."""
    async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_url(anyio_backend: str, kind: str, postgres_server: PostgresServer) -> AsyncIterator[str | None]:
    """None for SQLite; with its schema for PostgreSQL."""
    if kind == "sqlite":
        yield None
        return
    postgres_server.ensure_running()
    url = await postgres_server.create_database()
    await prepare(DatabaseUrl("postgresql", url=url))
    yield url
    await postgres_server.drop_database(url)


@pytest.fixture(scope="module")
async def shop(
    shared_url: str | None, shared_relay: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    """A gateway in this event loop, in front of a relay of profile C."""
    folder = tmp_path_factory.mktemp("shop")
    async with running_gateway(folder, shared_relay.base_url, database_url=shared_url) as running:
        yield running


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def name(numbers: Iterator[int]) -> str:
    """A name nobody else has."""
    return f"lin{next(numbers)}"
