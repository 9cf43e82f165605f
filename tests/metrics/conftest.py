from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl
from tests.gateways import running_gateway
from tests.metrics.scraping import TOKEN, Watched


@pytest.fixture
def watched_settings() -> dict[str, Any]:
    """Further settings of `watched`; a module may have others."""
    return {}


@pytest.fixture
async def watched(
    tmp_path: Path, database_where: DatabaseUrl, relay: RunningSandbox, watched_settings: dict[str, Any]
) -> AsyncIterator[Watched]:
    """A gateway that shows its metrics, with a key of `lin`."""
    settings = {"metrics_token": TOKEN} | watched_settings
    async with (
        running_gateway(tmp_path, relay.base_url, database_url=database_where.url or None, **settings) as running,
        httpx2.AsyncClient(base_url=running.url, timeout=60, verify=False) as http,
    ):
        yield Watched(running, http, await running.key())
