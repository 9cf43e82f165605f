"""A database that is away, locked or full, and a Redis that dies: refused before money moves, or booked after it."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx2
import pytest

from app.core.keys import new_key
from app.sandbox import RunningSandbox
from app.store import postgresql
from app.store.engine import DatabaseUrl
from tests.faults.conftest import StartGateway, StartProcess
from tests.faults.given import is_in, limited_key, only_row, write_locked
from tests.gateways import prepare
from tests.held import HELD, answering
from tests.money.books import ask, assert_bill_paid, assert_books_agree, opened, until, used
from tests.server import free_port
from tests.servers import PostgresServer, RedisServer

QUOTE = 1_000_000


def assert_store_away(answer: httpx2.Response, code: str = "store_unavailable") -> None:
    """503, nothing bought, and worth another try."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, code)
    assert "nothing was bought" in answer.json()["error"]["message"]
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "x-should-retry" not in answer.headers
    assert answer.headers["x-request-id"]


async def test_a_gateway_starts_without_its_postgresql_and_comes_alive_with_it(
    breakable_postgres: PostgresServer,
    postgres_url: str,
    processes: StartProcess,
    relay: RunningSandbox,
    tmp_path: Path,
) -> None:
    await prepare(DatabaseUrl("postgresql", url=postgres_url))
    await checkpoint(postgres_url)
    breakable_postgres.kill()
    process = await processes(database_url=postgres_url)

    async with opened(process.url, "sk-ig-of-no-form") as client:
        alive, ready = await client.get("/healthz"), await client.get("/readyz")
        malformed = await ask(client)
    async with opened(process.url, new_key().secret) as client:
        refused = await ask(client)
        assert (alive.status_code, ready.status_code) == (200, 503)
        assert ready.json()["status"] == "unready"
        assert malformed.status_code == 401
        assert_store_away(refused)
        assert relay.sandbox.seen == []
        breakable_postgres.start()
        await until(lambda: is_ready(client))
        await until(lambda: answers(client, 401))  # Asked, and not known.


async def is_ready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def answers(client: httpx2.AsyncClient, status: int) -> bool:
    """Say whether a request ends so: right after a failure the gateway refuses without asking the database again."""
    return (await ask(client)).status_code == status


async def test_postgresql_killed_while_the_relay_works_costs_nobody_the_picture_nor_the_booking(
    breakable_postgres: PostgresServer, postgres_url: str, gateways: StartGateway, relay: RunningSandbox
) -> None:
    running = await gateways(database_url=postgres_url)
    key = await limited_key(running.database)
    async with opened(running.url, key) as client:
        asking = asyncio.create_task(ask(client, HELD))
        await until(lambda: is_in(running.database, "dispatched"))
        await checkpoint(postgres_url)
        await asyncio.to_thread(breakable_postgres.kill)
        with answering(relay):
            answer = await asking
        refused = await ask(client)
        assert_store_away(refused)
        await asyncio.to_thread(breakable_postgres.start)
        await until(lambda: is_in(running.database, "settled"))

    assert (answer.status_code, answer.headers["x-imagegate-cost"]) == (200, "1.00")
    assert answer.json()["data"][0]["b64_json"]
    assert (await only_row(running.database))["cost_micros"] == QUOTE
    assert await used(running.database, "lin") == [(QUOTE, 0)]
    await assert_books_agree(running.database)
    await assert_bill_paid(running.database, relay)


async def checkpoint(url: str) -> None:
    """The test's server does not wait for its disk; what was committed so far is to survive its death."""
    connection = await asyncpg.connect(url)
    await connection.execute("CHECKPOINT")
    await connection.close()


async def test_postgresql_killed_and_back_is_used_again_without_a_restart(
    breakable_postgres: PostgresServer, postgres_url: str, gateways: StartGateway, relay: RunningSandbox
) -> None:
    running = await gateways(database_url=postgres_url)
    key = await limited_key(running.database)
    async with opened(running.url, key) as client:
        assert (await ask(client)).status_code == 200
        await checkpoint(postgres_url)
        await asyncio.to_thread(breakable_postgres.kill)
        refused = [await ask(client) for _ in range(3)]
        seen = len(relay.sandbox.seen)
        await asyncio.to_thread(breakable_postgres.start)
        await until(lambda: answers(client, 200))
        afterwards = [await ask(client) for _ in range(3)]

    for answer in refused:
        assert_store_away(answer)
    assert seen == 1
    assert [answer.status_code for answer in afterwards] == [200, 200, 200]
    await assert_books_agree(running.database)


async def test_a_frozen_postgresql_holds_nobody_up_for_long_and_is_used_again(
    breakable_postgres: PostgresServer,
    postgres_url: str,
    gateways: StartGateway,
    relay: RunningSandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT_TIMEOUT_S", 5.0)
    running = await gateways(database_url=postgres_url)
    key = await running.key()
    async with opened(running.url, key.key) as client:
        assert (await ask(client)).status_code == 200
        breakable_postgres.pause()
        async with asyncio.timeout(40):
            refused = await asyncio.gather(*(ask(client) for _ in range(5)))
        for answer in refused:
            assert_store_away(answer)
        breakable_postgres.resume()
        await until(lambda: answers(client, 200))

    async with asyncio.timeout(120):  # What a frozen server books only now is released as a stray, after a minute.
        while not {row["state"] for row in await running.rows()} <= {"settled", "released"}:
            await asyncio.sleep(0.5)
    await assert_bill_paid(running.database, relay)


async def test_redis_killed_between_two_requests_is_nobodys_5xx(
    breakable_redis: RedisServer, gateways: StartGateway
) -> None:
    running = await gateways(redis_url=breakable_redis.url)
    key = await running.key()
    await running.limit("user", "lin", "requests", "minute", 20)
    async with opened(running.url, key.key) as client:
        before = await ask(client)
        await asyncio.to_thread(breakable_redis.kill)
        during = [await ask(client) for _ in range(4)]
        ready = await client.get("/readyz")
        await asyncio.to_thread(breakable_redis.start)
        after = await ask(client)

    assert [answer.status_code for answer in (before, *during, after)] == [200] * 6
    assert before.headers["x-ratelimit-remaining-requests"] == "19"
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")


async def test_a_redis_that_is_not_there_at_the_start_is_no_reason_not_to_start(gateways: StartGateway) -> None:
    running = await gateways(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    key = await running.key()
    await running.limit("key", key.id, "requests", "minute", 2)

    async with opened(running.url, key.key) as client:
        codes = [(await ask(client)).status_code for _ in range(3)]

    assert codes == [200, 200, 429]


@pytest.mark.slow
async def test_a_sqlite_file_that_another_program_writes_to_for_too_long_refuses_before_anything_is_bought(
    gateways: StartGateway, relay: RunningSandbox, tmp_path: Path
) -> None:
    """Slow because the busy timeout of 5 s is what is waited for: by the first, and then once by all who came meanwhile."""
    running = await gateways()
    key = await limited_key(running.database)

    async with opened(running.url, key) as client:
        async with write_locked(tmp_path):
            async with asyncio.timeout(14):
                refused = await asyncio.gather(ask(client), ask(client), ask(client))
        for answer in refused:
            assert_store_away(answer)
        assert relay.sandbox.seen == []
        assert (await ask(client)).status_code == 200

    assert await used(running.database, "lin") == [(QUOTE, 0)]
    await assert_books_agree(running.database)


async def test_a_beat_that_has_to_wait_for_a_locked_file_leaves_the_clock_with_the_database(
    gateways: StartGateway, tmp_path: Path
) -> None:
    """Behind it, a price that has begun is not seen."""
    running = await gateways()

    async with write_locked(tmp_path):
        beat = asyncio.create_task(running.gateway.heartbeat.beat())
        await asyncio.sleep(0.3)  # What a clock would be behind that counted from the end of the beat.
    await beat

    now_ms = await running.database.now_ms()
    assert running.gateway.clock.now_ms() >= now_ms - 5  # SQLite rounds its time.


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MiB. Skips where no file system may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Use up every byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            return filler


async def test_a_full_disk_refuses_before_anything_is_bought(
    small_disk: Path, gateways: StartGateway, relay: RunningSandbox
) -> None:
    running = await gateways("disk", disk_free_bytes_min=1)
    key = await limited_key(running.database)
    filler = fill(small_disk)

    async with opened(running.url, key) as client:
        refused = await ask(client)
        ready = await client.get("/readyz")
        assert_store_away(refused, "storage_full")
        assert relay.sandbox.seen == []
        assert (ready.status_code, ready.json()["status"]) == (503, "unready")
        filler.unlink()
        assert (await ask(client)).status_code == 200

    assert await used(running.database, "lin") == [(QUOTE, 0)]
    await assert_books_agree(running.database)


async def test_a_disk_that_fills_up_while_the_relay_works_costs_nobody_the_picture_nor_the_booking(
    small_disk: Path, gateways: StartGateway, relay: RunningSandbox
) -> None:
    running = await gateways("disk", disk_free_bytes_min=1)
    key = await limited_key(running.database)
    async with opened(running.url, key) as client:
        asking = asyncio.create_task(ask(client, HELD, model="seedream-3.0"))
        await until(lambda: is_in(running.database, "dispatched"))
        filler = fill(small_disk)
        with answering(relay):
            answer = await asking
        filler.unlink()
        await until(lambda: is_in(running.database, "settled"))

    assert answer.status_code == 200
    assert await used(running.database, "lin") == [(80_000, 0)]
    await assert_books_agree(running.database)
    await assert_bill_paid(running.database, relay)
