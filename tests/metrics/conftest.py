from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl
from tests.gateways import running_gateway
from tests.metrics.scraping import TOKEN, Watched


@pytest.fixture
async def watched(tmp_path: Path, database_where: DatabaseUrl, relay: RunningSandbox) -> AsyncIterator[Watched]:
    """A gateway that shows its metrics, with a key of `lin`."""
    async with (
        running_gateway(
            tmp_path, relay.base_url, database_url=database_where.url or None, metrics_token=TOKEN
        ) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60, verify=False) as http,
    ):
        yield Watched(running, http, await running.key())
