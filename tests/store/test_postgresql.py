"""The connections that every request passes."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.errors import StoreUnavailable
from app.store.engine import DatabaseUrl, open_database, store_errors
from app.store.postgresql import Pool
from tests.servers import PostgresServer

PID = "SELECT pg_backend_pid()"


@pytest.fixture
async def pool(anyio_backend: str, postgres_server: PostgresServer) -> AsyncIterator[Pool]:
    postgres_server.ensure_running()
    opened = Pool(DatabaseUrl("postgresql", url=postgres_server.url), connections_max=2)
    yield opened
    await opened.close()


async def test_a_crowd_takes_turns_at_the_connections_there_are(pool: Pool) -> None:
    pids = await asyncio.gather(*(pool.value("SELECT pg_backend_pid() FROM pg_sleep(0.001)") for _ in range(50)))

    assert len(set(pids)) == 2


async def test_one_after_another_use_the_same_connection(pool: Pool) -> None:
    assert await pool.value(PID) == await pool.value(PID)


async def test_a_statement_that_was_given_up_lets_nobody_wait_for_its_connection(pool: Pool) -> None:
    for _ in range(3):  # More than there are connections.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.value("SELECT pg_sleep(60)"), 0.05)

    assert await asyncio.wait_for(pool.value(PID), 30)


async def test_a_statement_that_was_given_up_is_not_carried_out_later(
    pool: Pool, postgres_server: PostgresServer
) -> None:
    """Whoever was told that nothing was bought must not have bought."""
    await pool.value("CREATE TABLE given_up (n int)")
    await pool.value("INSERT INTO given_up VALUES (0)")
    holder = await asyncpg.connect(postgres_server.url)
    try:
        async with holder.transaction():
            await holder.execute("UPDATE given_up SET n = n")
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(pool.value("UPDATE given_up SET n = n + 1"), 0.2)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE given_up%' AND state = 'active'"
        async with asyncio.timeout(30):
            while await holder.fetchval(waits):  # The server is told to end them, and takes its time.
                await asyncio.sleep(0.01)
        assert await pool.value("SELECT n FROM given_up") == 0
    finally:
        await holder.close()
        await pool.value("DROP TABLE given_up")


async def test_a_wrong_argument_is_an_error_of_ours_and_no_outage(pool: Pool) -> None:
    with pytest.raises(asyncpg.DataError):
        await pool.value("SELECT $1::bigint", "not a number")
    with pytest.raises(asyncpg.UndefinedTableError):
        await pool.value("SELECT 1 FROM nothing_of_that_name")


async def test_a_connection_the_server_has_closed_is_not_used_again(pool: Pool) -> None:
    with pytest.raises(StoreUnavailable):
        await pool.value("SELECT pg_terminate_backend(pg_backend_pid())")

    assert await pool.value("SELECT 1") == 1


async def test_a_connection_that_reads_only_is_not_used_again(postgres_server: PostgresServer) -> None:
    """After a failover the old primary is a standby. It may keep its connections, and refuses every statement on them."""
    postgres_server.ensure_running()
    pool = Pool(DatabaseUrl("postgresql", url=postgres_server.url), connections_max=1)
    try:
        await pool.value("SELECT set_config('default_transaction_read_only', 'on', false)")
        with pytest.raises(StoreUnavailable):
            await pool.value("CREATE TABLE written (n int)")

        assert await pool.value("SHOW default_transaction_read_only") == "off"
    finally:
        await pool.close()


async def test_a_connection_of_the_engine_that_reads_only_is_not_used_again(postgres_server: PostgresServer) -> None:
    postgres_server.ensure_running()
    database = open_database(DatabaseUrl("postgresql", url=postgres_server.url))
    try:
        async with database.read() as connection:
            await connection.exec_driver_sql("SET SESSION default_transaction_read_only = on")
            await connection.commit()
        with pytest.raises(StoreUnavailable):
            async with database.transaction() as connection:
                await connection.exec_driver_sql("CREATE TABLE written (n int)")

        async with database.transaction() as connection:
            shown = await connection.exec_driver_sql("SHOW default_transaction_read_only")
            assert shown.scalar_one() == "off"
    finally:
        await database.close()


def test_a_connection_that_breaks_while_it_is_set_up_is_an_outage() -> None:
    """SQLAlchemy sets a codec on each new connection and passes on what asyncpg raises there."""
    with pytest.raises(StoreUnavailable), store_errors():
        raise asyncpg.InterfaceError("connection is closed")
    with pytest.raises(ZeroDivisionError), store_errors():
        raise ZeroDivisionError
