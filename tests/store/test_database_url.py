"""One URL for both PostgreSQL drivers: asyncpg's pool of the ledger, and SQLAlchemy's engine for everything else."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.errors import ConfigurationError, StoreUnavailable
from app.store.engine import DatabaseUrl, open_database
from app.store.migrations import upgrade
from app.store.postgresql import Pool
from tests.server import free_port
from tests.servers import PgBouncer, PostgresServer, TlsPostgresServer
from tests.store.purchasing import Desk, open_ledger, settlement


async def both_answer(url: str) -> tuple[bool, bool]:
    """Whether each driver's connection is encrypted."""
    where = DatabaseUrl.of(url, Path())
    database, pool = open_database(where), Pool(where, connections_max=2)
    try:
        async with database.read() as connection:
            first = (await connection.execute(sa.text(ENCRYPTED))).scalar_one()
        return first, await pool.value(ENCRYPTED)
    finally:
        await pool.close()
        await database.close()


ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def tls_postgres() -> Iterator[TlsPostgresServer]:
    with TlsPostgresServer() as server:
        yield server


@pytest.mark.parametrize(
    "options", ["sslmode=require", "sslmode=verify-ca&sslrootcert={ca}", "sslmode=verify-full&sslrootcert={ca}"]
)
async def test_both_drivers_speak_tls_as_the_url_says(tls_postgres: TlsPostgresServer, options: str) -> None:
    assert await both_answer(f"{tls_postgres.url}?{options.format(ca=tls_postgres.certificate)}") == (True, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("sslmode=disable", "no pg_hba.conf entry"),
        ("sslmode=perhaps", "sslmode"),
        ("sslmode=verify-full", "certificate"),
        ("sslmode=verify-full&sslrootcert=/not/there", "/not/there"),
        ("prepared_statements=perhaps", "true or false"),
    ],
)
async def test_a_url_that_cannot_work_says_why(tls_postgres: TlsPostgresServer, options: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        await both_answer(f"{tls_postgres.url}?{options}")


async def test_the_ledger_tells_a_login_refused_later_as_an_outage(tls_postgres: TlsPostgresServer) -> None:
    pool = Pool(DatabaseUrl.of(f"{tls_postgres.url}?sslmode=disable", Path()), connections_max=2)

    with pytest.raises(StoreUnavailable):
        await pool.value("SELECT 1")
    await pool.close()


async def test_of_several_hosts_the_one_that_takes_writes_is_used(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    gone_first = postgres_url.replace("@", f"@127.0.0.1:{free_port()},", 1)

    assert await both_answer(f"{gone_first}?target_session_attrs=read-write") == (False, False)


def test_neither_password_nor_options_are_shown() -> None:
    url = "postgresql+asyncpg://gate:p%40ss%2Fword@one:5432,two:5433/book?sslpassword=hush&prepared_statements=false"
    where = DatabaseUrl.of(url, Path())

    assert where.public == "postgresql://gate:***@one:5432,two:5433/book"
    assert where.dsn == "postgresql://gate:p%40ss%2Fword@one:5432,two:5433/book?sslpassword=hush"
    assert not where.prepared_statements


async def test_the_book_is_kept_through_pgbouncer_that_pools_by_transaction(postgres_url: str) -> None:
    """Each transaction runs on whichever of its two connections is free: nothing may be prepared on one for the other."""
    direct = open_database(DatabaseUrl("postgresql", url=postgres_url))
    await upgrade(direct)
    await direct.close()
    with PgBouncer(postgres_url) as bouncer:
        database = open_database(DatabaseUrl.of(f"{bouncer.url}?prepared_statements=false", Path()))
        async with open_ledger(database) as ledger:
            desk = Desk(database, ledger)
            limit = await desk.limit("micros", 1_000_000)

            async def buy() -> bool:
                order = await desk.order(limit)
                await ledger.reserve(order)
                await ledger.dispatch(order.request_id, order.owner, order.reserved_at_ms, "relay")
                return await ledger.settle(order.request_id, settlement(cost_micros=7, images=1)) is not None

            assert await asyncio.gather(*(buy() for _ in range(30))) == [True] * 30
        await database.close()
