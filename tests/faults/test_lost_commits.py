"""A commit whose acknowledgement is lost: the database has written what the gateway was told it had not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx2
import pytest

from app.sandbox import RunningSandbox
from tests.faults.conftest import StartGateway
from tests.faults.given import QUOTE, is_in, limited_key
from tests.money.books import GENERATIONS, ask, assert_books_agree, opened, until, used
from tests.servers import PostgresServer

BODY = {"model": "gpt-image-1", "prompt": "a lighthouse"}
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE $1"
RESERVATION = "%verdict AS%"
WRITING = "COMMENT ON SCHEMA public IS 'written'"


@pytest.fixture
async def server(breakable_postgres: PostgresServer, postgres_url: str) -> AsyncIterator[asyncpg.Connection]:
    breakable_postgres.must_be_ours()  # What is set here is set for all of its databases.
    connection = await asyncpg.connect(postgres_url)
    name = await connection.fetchval("SELECT current_database()")
    await connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = on")
    yield connection
    await connection.close()


async def try_number(client: httpx2.AsyncClient, count: int) -> httpx2.Response:
    return await client.post(GENERATIONS, json=BODY, headers={"x-stainless-retry-count": str(count)})


@asynccontextmanager
async def unacknowledged(server: asyncpg.Connection, url: str) -> AsyncIterator[None]:
    """Whatever is committed meanwhile is on the disk, and waits for a standby that never comes."""
    await server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await server.execute("SELECT pg_reload_conf()")
    waiting = asyncio.create_task(write_on(url))
    try:
        await until(lambda: are_waiting(server, WRITING))
        yield
    finally:
        await server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await server.execute("SELECT pg_reload_conf()")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def write_on(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        while True:
            await connection.execute(WRITING)
    finally:
        connection.terminate()


async def are_waiting(server: asyncpg.Connection, query: str) -> bool:
    return bool(await server.fetch(WAITING, query))


async def cut(server: asyncpg.Connection, query: str) -> None:
    """End what waits, as soon as it does."""
    await until(lambda: are_waiting(server, query))
    for row in await server.fetch(WAITING, query):
        await server.execute("SELECT pg_terminate_backend($1)", row["pid"])


async def noted(server: asyncpg.Connection) -> bool:
    return bool(await server.fetchval("SELECT count(*) FROM refusals"))


async def test_a_reservation_that_stands_although_it_was_refused_is_given_back_and_joined_by_nobody(
    server: asyncpg.Connection, postgres_url: str, gateways: StartGateway, relay: RunningSandbox
) -> None:
    running = await gateways(database_url=postgres_url)
    key = await limited_key(running.database)

    async with opened(running.url, key) as client:
        await ask(client)
        async with unacknowledged(server, postgres_url):
            asking = asyncio.create_task(try_number(client, 0))
            await cut(server, RESERVATION)
            refused = await asking
        await until(lambda: is_in(running.database, "released"))
        await until(lambda: noted(server))
        held = await used(running.database, "lin")

        retried, other = await try_number(client, 1), await try_number(client, 0)
        retry_of_other = await try_number(client, 1)

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "store_unavailable")
    assert held == [(QUOTE, 0)]
    assert [answer.status_code for answer in (retried, other, retry_of_other)] == [200, 200, 200]
    assert retry_of_other.headers["idempotent-replayed"] == "true"
    assert len(relay.sandbox.bill) == 3
    await assert_books_agree(running.database)
