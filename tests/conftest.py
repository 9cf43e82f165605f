"""Fixtures of all tests."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from anyio._backends._asyncio import TestRunner
from hypothesis import HealthCheck, settings

from app.control import passwords
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.server import allow_many_files
from app.store import postgresql
from tests.authorities import trust_nobody
from tests.buckets import bucket, bucket_server
from tests.databases import (
    database,
    database_kind,
    database_where,
    empty_postgres_url,
    empty_where,
    postgres_database,
    postgres_template,
    postgres_url,
    sqlite_database,
    sqlite_template,
)
from tests.gateways import RELAY_KEY
from tests.servers import PostgresServer, RedisServer

__all__ = [
    "bucket",
    "bucket_server",
    "database",
    "database_kind",
    "database_where",
    "empty_postgres_url",
    "empty_where",
    "postgres_database",
    "postgres_template",
    "postgres_url",
    "sqlite_database",
    "sqlite_template",
]


# The words of commands are compared in English.
os.environ.update(LC_ALL="C.UTF-8", LANGUAGE="")

trust_nobody()
passwords.MEMORY_KIB, passwords.PASSES = 8, 1  # Nobody attacks the hashes of the tests, which have hundreds.
allow_many_files()  # Crowds of clients live in this process.
# On a busy machine a crowd takes long to have its turns at the connections.
postgresql.STATEMENT_TIMEOUT_S = 60.0  # type: ignore[attr-defined]
# A busy machine may take longer for an example, and for thinking of one, than Hypothesis expects.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# The default shows every local variable of a traceback, for minutes.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


TESTS = Path(__file__).parent
_hear = TestRunner._exception_handler


def _hear_of_own(self: TestRunner, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Hear of exceptions in callbacks, which fail the test that runs then. asyncpg leaves a future behind where a server goes away
    just when a connection to it begins; garbage collection tells of it in any later test, which has nothing to do with it."""
    if str(context.get("exception")) != "unexpected connection_lost() call":
        _hear(self, loop, context)


TestRunner._exception_handler = _hear_of_own  # type: ignore[method-assign]
TWINS = ("api", "cli", "console", "images", "pictures")
"""Folders whose tests run on PostgreSQL with `--all` only, unless they are marked `both`. Those and the tests of `control` and
`store` run the same statements there always."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark twins on PostgreSQL as slow. Files with slow tests come first: one that begins when all others are done keeps a single
    core busy."""
    for item in items:
        if _is_twin(item):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _is_twin(item: pytest.Item) -> bool:
    """Say whether a test on PostgreSQL shows there what it shows on SQLite. Kinds of database and of relay do not depend on each
    other, so that each kind of one meets one of the other."""
    chosen = getattr(getattr(item, "callspec", None), "params", {})
    if "postgres" not in (chosen.get("database_kind"), chosen.get("kind")):
        return False
    in_twins = item.path.relative_to(TESTS).parts[0] in TWINS and not item.get_closest_marker("both")
    return in_twins or chosen.get("profile") == "N"


def pytest_collection_finish() -> None:
    """Modules and tests stay until the end: garbage collection need not look at them, nor run as often as in a small process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer(os.environ.get("TEST_POSTGRES_URL")) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    with RedisServer(os.environ.get("TEST_REDIS_URL")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """A Redis with nothing in it."""
    redis_server.ensure_running()
    redis_server.flush()
    return redis_server.url


@pytest.fixture
async def relay() -> AsyncIterator[RunningSandbox]:
    """A sandbox relay of profile C that answers at once, with the relay key the gateways of the tests hold."""
    async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as running:
        yield running
