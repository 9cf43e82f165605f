"""A running sandbox of either profile, and a client that holds its key."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from tests.sandbox.calls import KEY, Caller


@pytest.fixture(params=["C", "N"])
def profile(request: pytest.FixtureRequest) -> str:
    """Both profiles, unless a test names one."""
    return str(request.param)


@pytest.fixture
async def running(profile: str) -> AsyncIterator[RunningSandbox]:
    options = SandboxOptions(KEY, "N" if profile == "N" else "C", latency_scale=0)
    async with running_sandbox(options) as started:
        yield started


@pytest.fixture
async def call(running: RunningSandbox) -> AsyncIterator[Caller]:
    headers = {"Authorization": f"Bearer {KEY}"}
    # verify=False spares the loading of a certificate store: it is plain HTTP.
    async with httpx2.AsyncClient(base_url=running.base_url, headers=headers, verify=False, timeout=60) as client:
        yield Caller(client)
