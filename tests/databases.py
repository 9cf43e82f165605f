"""A database with its schema, on SQLite and on a real PostgreSQL; and rows as a working gateway leaves them."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from app.store.engine import SQLITE_FILE, Database, DatabaseUrl, open_database
from app.store.limit_increases import count_open
from app.store.migrations import upgrade
from app.store.tables import counters, refusal_log, requests, usage
from tests.servers import PostgresServer


@pytest.fixture(scope="session")
async def sqlite_template(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its schema, closed, to be copied: building one takes longer than most tests."""
    folder = tmp_path_factory.mktemp("template")
    where = DatabaseUrl.of(None, folder)
    await _upgraded(where)
    return folder / SQLITE_FILE


@dataclass(slots=True)
class PostgresTemplate:
    """One database with its schema, and the statements that make it new again. They run on one connection, which knows the tables:
    a new one takes PostgreSQL three times as long."""

    url: str
    renewal: str
    connection: asyncpg.Connection

    async def renew(self) -> None:
        """Bring the rows and numbers of the schema back."""
        try:
            await self._renew()
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):  # A test killed the server.
            self.connection.terminate()
            self.connection = await asyncpg.connect(self.url)
            await self._renew()

    async def _renew(self) -> None:
        await self.connection.execute(_THROW_OUT)
        for table in await self.connection.fetch(_LARGE):
            await self.connection.execute(f"TRUNCATE {table['name']} CASCADE")
        await self.connection.execute(self.renewal)


@pytest.fixture(scope="session")
async def postgres_template(anyio_backend: str, postgres_server: PostgresServer) -> AsyncIterator[PostgresTemplate]:
    """Making a database and its schema takes PostgreSQL a second or more, renewing one a hundredth of that."""
    postgres_server.ensure_running()
    url = await postgres_server.create_database()
    await _upgraded(DatabaseUrl("postgresql", url=url))
    template = PostgresTemplate(url, await _renewal(url), await asyncpg.connect(url))
    yield template
    template.connection.terminate()
    postgres_server.ensure_running()
    await postgres_server.drop_database(url)


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer, postgres_template: PostgresTemplate) -> str:
    """Address of a database as `imagegate db upgrade` leaves it. Tests of one process use it one after another."""
    postgres_server.ensure_running()
    await postgres_template.renew()
    return postgres_template.url


@pytest.fixture
async def empty_postgres_url(anyio_backend: str, postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Address of a database of the test's own, without a schema."""
    postgres_server.ensure_running()
    url = await postgres_server.create_database()
    yield url
    postgres_server.ensure_running()
    await postgres_server.drop_database(url)


@pytest.fixture
async def sqlite_database(anyio_backend: str, sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(sqlite_template, tmp_path / SQLITE_FILE)
    opened = open_database(DatabaseUrl.of(None, tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
async def postgres_database(postgres_url: str) -> AsyncIterator[Database]:
    opened = open_database(DatabaseUrl("postgresql", url=postgres_url))
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


postgres_with_all = pytest.mark.parametrize(
    "database_kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)], indirect=True
)
"""Runs a test on PostgreSQL with --all only: what its database does is tested on both elsewhere."""


@pytest.fixture
def database(request: pytest.FixtureRequest, database_kind: str) -> Database:
    """A database of the test's own, as `imagegate db upgrade` leaves it: once on SQLite and once on PostgreSQL."""
    found: Database = request.getfixturevalue(f"{database_kind}_database")
    return found


@pytest.fixture
def database_where(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> DatabaseUrl:
    """Address of a database for a gateway: `tests.gateways.prepare` makes the file of SQLite."""
    return DatabaseUrl.of(None if database_kind == "sqlite" else request.getfixturevalue("postgres_url"), tmp_path)


@pytest.fixture
def empty_where(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> DatabaseUrl:
    """Address of an empty database of the test's own, without a schema."""
    found = None if database_kind == "sqlite" else request.getfixturevalue("empty_postgres_url")
    return DatabaseUrl.of(found, tmp_path)


async def _upgraded(where: DatabaseUrl) -> None:
    database = open_database(where)
    await upgrade(database)
    await database.close()


async def _renewal(url: str) -> str:
    """Keep a copy of all rows in a schema beside, and return the statements that bring rows and numbers back."""
    connection = await asyncpg.connect(url)
    tables = [row["name"] for row in await connection.fetch(_TABLES)]
    numbers = [row["restart"] for row in await connection.fetch(_NUMBERS)]
    copies = [f"CREATE TABLE seed.{table} AS TABLE {table}" for table in tables]
    await connection.execute("; ".join(["CREATE SCHEMA seed", *copies]))
    await connection.close()
    rows = [f"DELETE FROM {table}; INSERT INTO {table} TABLE seed.{table}" for table in tables]  # noqa: S608  (names)
    # Without triggers the order of tables does not matter, and no revision rises.
    return "; ".join(["SET session_replication_role = replica", *rows, *numbers])


_THROW_OUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
"""Other connections could hold locks."""
_TABLES = "SELECT format('%I', tablename) AS name FROM pg_tables WHERE schemaname = 'public'"
_LARGE = "SELECT relid::regclass::text AS name FROM pg_stat_user_tables WHERE pg_relation_size(relid) > 1000000"
_NUMBERS = """SELECT format('SELECT setval(%L, %s, %L)', sequencename, coalesce(last_value, start_value), last_value IS NOT NULL)
AS restart FROM pg_sequences"""


async def revision(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(sa.text("SELECT revision FROM organization"))).scalar_one())


async def open_increases(database: Database) -> int:
    """How many requests for more no owner has decided yet."""
    return await database.ask(count_open)


async def insert(database: Database, table: sa.Table, *rows: dict[str, Any]) -> None:
    """Insert rows as the gateway does: without raising the revision."""
    async with database.engine.connect() as raw:
        connection = await raw.execution_options(imagegate_write=True)
        async with connection.begin():
            await connection.execute(sa.insert(table), list(rows))


async def insert_refusal(database: Database, user_id: str, api_key_id: str, **given: Any) -> None:
    at_ms = given.get("at_ms", 1_795_000_000_000)
    row = {"at_ms": at_ms, "last_at_ms": at_ms, "count": 1, "operation": "generation", "model": "gpt-image-1"}
    row |= {"user_id": user_id, "api_key_id": api_key_id, "project_id": "proj_default", "http_status": 429}
    row |= {"error_code": "insufficient_quota", "limit": "daily quota", "message": "The daily quota is used up."}
    await insert(database, refusal_log, row | given)


async def insert_usage(database: Database, **given: Any) -> None:
    await insert(database, usage, usage_row(**given))


def usage_row(**given: Any) -> dict[str, Any]:
    row = {
        "hour_at_ms": 0,
        "day": "2026-11-21",
        "project_id": "proj_default",
        "user_id": "user-gone",
        "api_key_id": "key_gone",
        "model": "gpt-image-1",
        "operation": "generation",
        "size": "",
        "quality": "",
        "requests": 1,
        "images": 1,
        "cost_micros": 1_000_000,
        "input_tokens": 0,
        "output_tokens": 0,
    }
    return row | given


async def insert_request(database: Database, user_id: str, api_key_id: str, **given: Any) -> None:
    row = {
        "id": "req_1",
        "state": "reserved",
        "owner": "proc_1",
        "api_key_id": api_key_id,
        "user_id": user_id,
        "project_id": "proj_default",
        "operation": "generation",
        "model": "gpt-image-1",
        "n": 1,
        "stream": 0,
        "prompt_chars": 10,
        "counter_ids": [],
        "quote_micros": 1_000_000,
        "reserved_at_ms": 1_795_000_000_000,
    }
    await insert(database, requests, row | given)


async def insert_counter(database: Database, limit_id: int, starts_at_ms: int, spent: int, held: int) -> None:
    row = {"limit_id": limit_id, "starts_at_ms": starts_at_ms, "spent": spent, "held": held}
    await insert(database, counters, row)
