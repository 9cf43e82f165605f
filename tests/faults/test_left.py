"""A client that hangs up in the middle, over a real connection, and what is left of requests that failed."""

import asyncio
import gc
import sqlite3
from pathlib import Path

import pytest

from app.images.exchange import Exchange
from app.sandbox import RunningSandbox
from app.store.engine import SQLITE_FILE
from tests.faults.conftest import StartGateway
from tests.faults.given import limited_key
from tests.gateways import Running, running_gateway
from tests.money.books import ask, assert_bill_paid, assert_books_agree, opened, until


async def test_nothing_is_sent_for_a_client_that_hangs_up_while_the_database_is_locked(
    gateways: StartGateway, relay: RunningSandbox, tmp_path: Path
) -> None:
    running = await gateways()
    key, image_service = (await running.key()).key, running.gateway.image_service
    async with opened(running.url, key) as client:
        await ask(client)  # Who the key belongs to is known from here on, also while the database is locked.
        lock = sqlite3.connect(tmp_path / SQLITE_FILE, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        host, _, port = running.url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(call(key, "nobody waits for this"))
        await until(lambda: _is(image_service.in_flight == 1))
        writer.close()
        await writer.wait_closed()
        lock.execute("ROLLBACK")
        lock.close()
        await until(lambda: _is(image_service.in_flight == 0))
        await running.gateway.background.finish(5)

    assert [row["state"] for row in await running.rows()] == ["settled", "released"]
    assert len(relay.sandbox.bill) == 1


async def test_a_request_that_failed_is_not_kept_in_memory_until_somebody_looks_for_garbage(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, "http://127.0.0.1:9") as running:
        gc.disable()
        try:
            async with opened(running.url, (await running.key()).key) as client:
                answers = [await ask(client) for _ in range(5)]
            kept = sum(isinstance(thing, Exchange) for thing in gc.get_objects())
        finally:
            gc.enable()

    assert {answer.status_code for answer in answers} == {503}
    assert kept == 0


async def _is(true: bool) -> bool:
    return true


async def send(running: Running, data: bytes, *, read_bytes: int = 0) -> None:
    """Write, read so much, and be gone with a reset."""
    host, port = running.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    if read_bytes:
        await reader.readexactly(read_bytes)
    else:
        await asyncio.sleep(0.15)
    writer.transport.abort()


def call(key: str, prompt: str, *, sent: float = 1.0) -> bytes:
    """The bytes of a request, or the first part of its body."""
    body = b'{"model": "gpt-image-1", "n": 4, "prompt": "%s"}' % prompt.encode()
    head = f"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body[: int(len(body) * sent)]


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

    await send(running, call(key, prompt, sent=sent), read_bytes=read_bytes)
    await running.gateway.image_service.wait_until_idle()

    assert [row["state"] for row in await running.rows()] == ([state] if state else [])
    assert len(relay.sandbox.bill) == (1 if state else 0)
    async with opened(running.url, key) as client:
        assert (await ask(client)).status_code == 200
    await assert_books_agree(running.database)
    await assert_bill_paid(running.database, relay)
