"""Fixtures of the contract tests."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.stage import Stage, open_stage


@pytest.fixture(scope="module")
async def stage(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Opened once a file: nothing a test does is seen by another one, as long as each has its own key."""
    async with open_stage(tmp_path_factory.mktemp("stage")) as opened:
        yield opened
