"""Sending stored answers over a real connection."""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.api.answers import ResultResponse
from app.api.connection import ClientConnection
from app.images.booking import BookedAnswer
from app.images.pending import ClientDeadline, PendingAnswer
from app.spool import CHUNK_BYTES, Slice, open_file
from tests.test_server import serving

ANSWER_BYTES = 256 * 1024 * 1024


async def test_a_client_that_hangs_up_during_a_large_answer_does_not_hold_up_others(tmp_path: Path) -> None:
    """The rest of the answer is not read from the disk."""
    path, delivered, ended = tmp_path / "req_1", Deliveries(), asyncio.Event()
    path.touch()
    os.truncate(path, ANSWER_BYTES)  # Sparse: it takes no room on the disk.
    spool, sent_bytes = open_file(path), 0

    async def send_answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_counted(message: Message) -> None:
            nonlocal sent_bytes
            sent_bytes += len(message.get("body", b""))
            await send(message)

        request = Request(scope, receive)
        await request.body()
        answer = BookedAnswer([Slice(0, ANSWER_BYTES)], spool, 1_000_000, None)
        await ResultResponse(pending(answer, delivered), answer, ClientConnection(request), "CNY")(
            scope, receive, send_counted
        )
        ended.set()

    async with serving(send_answer) as address:
        client = socket.create_connection(address)
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.to_thread(client.recv, 1000)
        client.close()
        await ended.wait()

    assert sent_bytes < ANSWER_BYTES / 2
    assert delivered.noted == []
    assert spool.size_bytes == 0  # Closed.


async def test_others_take_turns_while_a_large_answer_is_sent(tmp_path: Path) -> None:
    """Also where the client takes each piece at once, so that the server never has to wait."""
    path, turns = tmp_path / "req_1", 0
    path.touch()
    os.truncate(path, 16 * CHUNK_BYTES)
    answer = BookedAnswer([Slice(0, 16 * CHUNK_BYTES)], open_file(path), 1_000_000, None)

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None: ...

    connection = ClientConnection(Request({"type": "http"}, receive))
    other = asyncio.create_task(take_turns())
    await ResultResponse(pending(answer, Deliveries()), answer, connection, "CNY")({}, receive, send)
    other.cancel()

    assert turns >= 8


class Deliveries:
    """Notes what was delivered, as app.images.replay.DeliveryNotes does for the database."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def add(self, request_id: str) -> None:
        self.noted.append(request_id)


def pending(answer: BookedAnswer, deliveries: Any) -> PendingAnswer:
    async def exchange() -> BookedAnswer:
        return answer

    task, sent = asyncio.ensure_future(exchange()), asyncio.Event()
    return PendingAnswer("req_1", None, (), False, None, sent, task, ClientDeadline(task, 60), deliveries)
