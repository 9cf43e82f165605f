"""The servers the other tests rely on."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.server_processes import has_ended, wait_until
from tests.server_programs import redis_program
from tests.servers import HOST, PostgresServer, RedisServer, Server, ServerFailed, free_port


async def query(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_every_test_gets_an_empty_database_of_its_own(postgres_server: PostgresServer, postgres_url: str) -> None:
    await query(postgres_url, "CREATE TABLE here (n int)")
    other_url = await postgres_server.create_database()

    assert await query(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1
    assert await query(other_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await postgres_server.drop_database(other_url)


async def test_a_database_made_from_a_template_holds_what_the_template_holds(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    await query(postgres_url, "CREATE TABLE here AS SELECT 7 AS n")

    copy_url = await postgres_server.create_database(template=postgres_url)

    assert await query(copy_url, "SELECT n FROM here") == 7
    await postgres_server.drop_database(copy_url)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await query(copy_url, "SELECT 1")


async def test_postgres_takes_150_connections_at_once(postgres_url: str) -> None:
    answers = await asyncio.gather(*(query(postgres_url, "SELECT 1") for _ in range(150)))

    assert answers == [1] * 150


async def test_a_killed_postgres_breaks_connections_and_comes_back_with_what_was_committed(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE here AS SELECT 7 AS n")
    await connection.execute("CHECKPOINT")

    postgres_server.kill()
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)):
        await connection.execute("SELECT 1")
    with pytest.raises(OSError):
        await query(postgres_url, "SELECT 1")
    postgres_server.start()

    assert await query(postgres_url, "SELECT n FROM here") == 7
    connection.terminate()


async def test_a_frozen_postgres_answers_nobody_until_it_is_resumed(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    connection = await asyncpg.connect(postgres_url)

    postgres_server.pause()
    try:
        waiting = asyncio.ensure_future(connection.fetchval("SELECT 7"))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
    finally:
        postgres_server.resume()

    assert not done
    assert await waiting == 7
    await connection.close()


async def test_redis_starts_empty_for_every_test(redis_server: RedisServer, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        await client.set("left", "over")
        redis_server.flush()

        assert await client.dbsize() == 0


async def test_a_killed_redis_refuses_and_comes_back_on_the_same_url(redis_server: RedisServer, redis_url: str) -> None:
    async with Redis.from_url(redis_url, retry=None) as client:
        await client.ping()

        redis_server.kill()
        with pytest.raises(RedisConnectionError):
            await client.ping()
        redis_server.restart()

        assert await client.ping()


async def test_a_frozen_redis_answers_nobody_until_it_is_resumed(redis_server: RedisServer, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        await client.ping()

        redis_server.pause()
        try:
            waiting = asyncio.ensure_future(client.ping())
            done, _ = await asyncio.wait([waiting], timeout=0.2)
        finally:
            redis_server.resume()

        assert not done
        assert await waiting


def test_a_server_that_an_earlier_test_killed_is_mended(redis_server: RedisServer) -> None:
    redis_server.kill()

    redis_server.ensure_running()

    redis_server.flush()


def test_a_server_that_cannot_start_says_why() -> None:
    class Unwilling(RedisServer):
        def _command(self) -> list[str | Path]:
            return [redis_program(), "--no-such-option", "1"]

    with pytest.raises(ServerFailed, match="no-such-option"), Unwilling():
        pass


@pytest.mark.parametrize("kind", [PostgresServer, RedisServer])
def test_a_server_of_somebody_else_is_never_stopped(kind: type[Server]) -> None:
    url = "scheme://elsewhere/0"

    with kind(url) as server:
        server.ensure_running()

        assert server.url == url
        with pytest.raises(pytest.skip.Exception):
            server.kill()


@pytest.mark.parametrize("kind", [PostgresServer, RedisServer])
def test_a_server_even_a_frozen_one_goes_with_its_folder_when_the_test_run_is_killed(kind: type[Server]) -> None:
    script = (
        f"from tests.servers import {kind.__name__} as Kind\n"
        "server = Kind().__enter__()\n"
        "server.pause()\n"
        "print(server._family()[0].pid, server._folder, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout
        pid, folder = run.stdout.readline().decode().split()
        server = psutil.Process(int(pid))

        os.kill(run.pid, signal.SIGKILL)

    wait_until(lambda: has_ended(server) and not Path(folder).exists(), 10)
    assert has_ended(server)
    assert not Path(folder).exists()


async def test_a_free_port_is_nobody_elses_before_and_between_and_while_its_server_listens() -> None:
    port = free_port()

    for _ in range(2):
        assert not _can_take(port)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)
        with socket.create_server((HOST, port)):
            assert not _can_take(port)


def _can_take(port: int) -> bool:
    """As another test run would see it."""
    program = "import socket, sys; socket.socket().bind((sys.argv[1], int(sys.argv[2])))"
    return subprocess.run([sys.executable, "-c", program, HOST, str(port)], stderr=subprocess.DEVNULL).returncode == 0
