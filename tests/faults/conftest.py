"""Gateways that are killed, and the servers they lean on taken away."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import Database, DatabaseUrl, open_database
from tests.faults.door import Door
from tests.gateways import RELAY_KEY, GatewayProcess, Running, gateway_process, running_gateway
from tests.servers import PostgresServer, RedisServer

StartProcess = Callable[..., Awaitable[GatewayProcess]]
StartGateway = Callable[..., Awaitable[Running]]


@pytest.fixture
async def processes(relay: RunningSandbox, tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Starts `imagegate serve` on the test's folder as often as a test likes; none outlives the test."""
    async with AsyncExitStack() as stack:

        async def start(folder: str = "", **settings: Any) -> GatewayProcess:
            return await stack.enter_async_context(gateway_process(tmp_path / folder, relay.base_url, **settings))

        yield start


@pytest.fixture
async def gateways(relay: RunningSandbox, tmp_path: Path) -> AsyncIterator[StartGateway]:
    """Starts a gateway in this event loop, on the test's folder."""
    async with AsyncExitStack() as stack:

        async def start(folder: str = "", **settings: Any) -> Running:
            return await stack.enter_async_context(running_gateway(tmp_path / folder, relay.base_url, **settings))

        yield start


@pytest.fixture
async def books(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Callable[[str | None], Database]]:
    """Opens the database of a gateway process: by URL, or in the test's folder."""
    async with AsyncExitStack() as stack:

        def opened(url: str | None = None) -> Database:
            database = open_database(DatabaseUrl.of(url, tmp_path))
            stack.push_async_callback(database.close)
            return database

        yield opened


@pytest.fixture
def breakable_postgres(postgres_server: PostgresServer) -> PostgresServer:
    """A PostgreSQL a test may kill; the next test that needs one starts it again."""
    return postgres_server


@pytest.fixture
def breakable_redis(redis_server: RedisServer) -> RedisServer:
    redis_server.ensure_running()
    redis_server.flush()
    return redis_server


@pytest.fixture(scope="module")
async def door(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay,
        running_gateway(tmp_path_factory.mktemp("door"), relay.base_url, guard_bad_keys_per_minute=100_000) as running,
    ):
        key = await running.key()
        await running.limit("user", "lin", "micros", "month", 1_000_000_000)
        yield Door(running, relay, key)
