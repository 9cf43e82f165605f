from collections.abc import AsyncIterator, Callable

import psutil
import pytest

from app.api.body import BodyCaps
from tests.api.serving import Door, serving


@pytest.fixture(scope="module")
async def server(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with serving(BodyCaps(tmp_path_factory.mktemp("spool"))) as door:
        yield door


@pytest.fixture
def door(server: Door) -> Door:
    server.accepted.clear()
    return server


@pytest.fixture
def fds() -> Callable[[], int]:
    return psutil.Process().num_fds
