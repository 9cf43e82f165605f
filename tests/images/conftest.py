from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl
from tests.gateways import Running, running_gateway
from tests.images.client import Client


@pytest.fixture
async def running(tmp_path: Path, database_where: DatabaseUrl, relay: RunningSandbox) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, relay.base_url, database_url=database_where.url or None) as gateway:
        yield gateway


@pytest.fixture
async def new_client(running: Running, relay: RunningSandbox) -> AsyncIterator[Callable[[str], Awaitable[Client]]]:
    async with httpx2.AsyncClient(base_url=running.url, timeout=30, verify=False) as http:

        async def make(user: str) -> Client:
            return Client(http, await running.key(user), relay, running)

        yield make


@pytest.fixture
async def client(new_client: Callable[[str], Awaitable[Client]]) -> Client:
    return await new_client("lin")
