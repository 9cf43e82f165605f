"""A client that hangs up in the middle, over a real connection, and what is left of requests that failed."""

import asyncio
import gc
from pathlib import Path

import pytest

from app.images.exchange import Exchange
from app.sandbox import RunningSandbox
from tests.faults.conftest import StartGateway
from tests.faults.given import call, hang_up_while_locked, limited_key
from tests.gateways import Running, running_gateway
from tests.money.books import ask, assert_bill_paid, assert_books_agree, opened


async def test_nothing_is_sent_for_a_client_that_hangs_up_while_the_database_is_locked(
    gateways: StartGateway, relay: RunningSandbox, tmp_path: Path
) -> None:
    running = await gateways()
    key = (await running.key()).key
    async with opened(running.url, key) as client:
        await ask(client)  # Who the key belongs to is known from here on, also while the database is locked.
        host, _, port = running.url.removeprefix("http://").partition(":")
        await hang_up_while_locked(running, tmp_path, host, int(port), key)

    assert [row["state"] for row in await running.rows()] == ["settled", "released"]
    assert len(relay.sandbox.bill) == 1


async def test_a_request_that_failed_is_not_kept_in_memory_until_somebody_looks_for_garbage(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, "http://127.0.0.1:9") as running:
        gc.collect()  # What earlier tests left.
        gc.disable()
        try:
            async with opened(running.url, (await running.key()).key) as client:
                answers = [await ask(client) for _ in range(5)]
            kept = sum(isinstance(thing, Exchange) for thing in gc.get_objects())
        finally:
            gc.enable()

    assert {answer.status_code for answer in answers} == {503}
    assert kept == 0


async def send(running: Running, data: bytes, relay: RunningSandbox, *, read_bytes: int, whole: bool) -> None:
    """Write, read so much, and be gone with a reset; after a whole request of which nothing is read, once the relay has it."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    if read_bytes:
        await reader.readexactly(read_bytes)
    elif whole:
        while not relay.sandbox.bill:
            await asyncio.sleep(0.01)
    else:
        await asyncio.sleep(0.15)
    writer.transport.abort()


@pytest.mark.parametrize(
    ("sent", "prompt", "read_bytes", "state"),
    [(0.0, "a cat", 0, None), (0.5, "a cat", 0, None), (1.0, "[[sandbox delay=0.5]] a cat", 0, "settled"),
     (1.0, "a cat", 2000, "settled")],
    ids=["before the body", "in the body", "while it waits", "in the answer"],
)  # fmt: skip
async def test_a_client_that_leaves_pays_for_what_was_sent_and_for_nothing_else(
    gateways: StartGateway, relay: RunningSandbox, sent: float, prompt: str, read_bytes: int, state: str | None
) -> None:
    running = await gateways()
    key = await limited_key(running.database)

    await send(running, call(key, prompt, sent=sent), relay, read_bytes=read_bytes, whole=sent == 1)
    await running.gateway.image_service.wait_until_idle()

    assert [row["state"] for row in await running.rows()] == ([state] if state else [])
    assert len(relay.sandbox.bill) == (1 if state else 0)
    async with opened(running.url, key) as client:
        assert (await ask(client)).status_code == 200
    await assert_books_agree(running.database)
    await assert_bill_paid(running.database, relay)
