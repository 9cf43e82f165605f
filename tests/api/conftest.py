from collections.abc import Callable

import psutil
import pytest


@pytest.fixture
def fds() -> Callable[[], int]:
    return psutil.Process().num_fds
