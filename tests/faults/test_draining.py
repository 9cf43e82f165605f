"""A gateway that is about to leave: whoever comes to it is told so in a way that leads to another one."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2

from app.sandbox import RunningSandbox
from tests.faults.conftest import StartGateway, StartProcess
from tests.faults.given import Books, is_in, limited_key, only_row
from tests.gateways import set_limit
from tests.held import HELD, answering
from tests.money.books import ask, opened, until


async def test_a_client_on_a_kept_connection_is_not_turned_away_twice_by_the_same_gateway(
    gateways: StartGateway,
) -> None:
    """The SDKs try again on the connection they have: they would spend every try on the gateway that leaves."""
    running = await gateways()
    async with opened(running.url, (await running.key()).key) as client:
        before = await ask(client)
        running.gateway.image_service.draining = True
        late = await ask(client)

    assert before.status_code == 200
    assert "connection" not in before.headers
    assert (late.status_code, late.json()["error"]["code"]) == (503, "draining")
    assert late.headers["connection"] == "close"
    assert "x-should-retry" not in late.headers
    assert 1 <= int(late.headers["retry-after"]) <= 60


async def test_a_gateway_that_is_told_to_go_finishes_what_it_has_begun(
    processes: StartProcess, books: Books, relay: RunningSandbox
) -> None:
    process, database = await processes(), books()
    key = await limited_key(database)
    await set_limit(database, "user", "lin", "in_flight", "lifetime", None)
    async with opened(process.url, key) as client:
        asking = asyncio.create_task(ask(client, HELD))
        await until(lambda: is_in(database, "dispatched"))
        leaving = asyncio.create_task(process.stop(signal.SIGTERM))
        await until(lambda: unready(client))
        ready, alive, late = await client.get("/readyz"), await client.get("/healthz"), await ask(client)
        again = asyncio.create_task(process.stop(signal.SIGTERM))
        with answering(relay):
            answer = await asking
        code = await leaving
        await again

    assert (ready.status_code, ready.json()["checks"]["shutdown"], alive.status_code) == (503, "draining", 200)
    assert (late.status_code, late.json()["error"]["code"]) == (503, "draining")
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert answer.status_code == 200
    assert answer.json()["data"][0]["b64_json"]
    assert code == 0
    assert (await only_row(database))["state"] == "settled"
    assert len(relay.sandbox.bill) == 1


async def test_a_gateway_whose_log_nobody_reads_any_more_sells_and_goes_when_told(
    processes: StartProcess, books: Books, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "stderr.log")
    log = os.open(tmp_path / "stderr.log", os.O_RDONLY | os.O_NONBLOCK)
    process, database = await processes(), books()
    os.close(log)  # As a terminal that is closed, or the end of a pipe.

    async with opened(process.url, await limited_key(database)) as client:
        answer = await ask(client)
    code = await process.stop(signal.SIGTERM)

    assert (answer.status_code, (await only_row(database))["state"], code) == (200, "settled", 0)


async def unready(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 503
