"""The server's manners."""

import asyncio
import resource
import select
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from app.server import HELD_BYTES_MAX, PIPELINED_MAX, READ_BYTES_MAX, READ_BYTES_MIN, TURN_BYTES, Corked, Protocol

SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from app.server import allow_many_files
allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_a_low_limit_of_open_files_is_raised_as_far_as_may_be() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout

    soft, hard = map(int, said.split())
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))


@pytest.fixture
async def corked(anyio_backend: str) -> AsyncIterator[tuple[Corked, socket.socket]]:
    """A transport, and the other end of its connection."""
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    yield Corked(transport, loop), far
    transport.close()
    far.close()


async def test_what_is_written_in_one_turn_leaves_together(corked: tuple[Corked, socket.socket]) -> None:
    transport, far = corked
    transport.write(b"head ")
    transport.write(b"body")
    with pytest.raises(BlockingIOError):
        far.recv(1000)

    await asyncio.sleep(0)
    assert far.recv(1000) == b"head body"


async def test_a_large_piece_leaves_at_once_behind_what_was_written_before(
    corked: tuple[Corked, socket.socket],
) -> None:
    transport, far = corked
    transport.write(b"head ")
    transport.write(bytes(HELD_BYTES_MAX + 1))

    assert far.recv(100) == b"head " + bytes(95)


async def test_what_was_written_leaves_before_the_connection_closes(corked: tuple[Corked, socket.socket]) -> None:
    transport, far = corked
    transport.write(b"last words")
    transport.close()
    await asyncio.sleep(0)

    assert far.recv(1000) == b"last words"


@asynccontextmanager
async def serving(app: ASGIApp, protocol: type[Protocol] = Protocol) -> AsyncIterator[tuple[str, int]]:
    """An address where `app` is served by our protocol."""
    config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, access_log=False)
    server, sock = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield sock.getsockname()
    server.should_exit = True
    await task


def test_a_client_that_resets_its_connection_while_it_is_sent_events_is_no_error() -> None:
    """In the server's own event loop, which objects to writing to it."""
    failures: list[dict[str, Any]] = []

    async def talk(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    async def reset_often() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        async with serving(talk) as address:
            for _ in range(50):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                await reader.readline()
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    uvloop.run(reset_often())
    assert not failures


def test_an_answer_that_is_alone_leaves_before_the_log_is_written() -> None:
    """The application reads what its client has, without a turn of the event loop in between."""
    there: list[bytes] = []
    far: list[socket.socket] = []

    async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})
        waiting, _, _ = select.select(far, [], [], 1)
        there.append(far[0].recv(1000) if waiting else b"")

    async def ask_once() -> None:
        async with serving(answer) as address, asyncio.timeout(30):
            far.append(socket.create_connection(address))
            far[0].sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            while not there:
                await asyncio.sleep(0.01)
            far[0].close()

    uvloop.run(ask_once())
    assert there[0].startswith(b"HTTP/1.1 200")
    assert there[0].endswith(b"done")


def test_of_many_who_send_at_once_only_so_much_is_read_in_one_turn() -> None:
    """What was read waits in memory until the turn is over."""
    waiting: list[int] = []
    pieces: list[int] = []

    async def note(_scope: Scope, receive: Receive, send: Send) -> None:
        waiting.append(1)
        pieces.append(len((await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})

    async def all_at_once(count: int) -> None:
        async with serving(note) as address, asyncio.timeout(30):
            with ExitStack() as open_until_then:
                clients = [open_until_then.enter_context(socket.create_connection(address)) for _ in range(count)]
                for client in clients:
                    client.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
                while len(waiting) < count:
                    await asyncio.sleep(0.01)
                for client in clients:  # The server is not given a turn in between.
                    client.setblocking(False)
                    client.send(bytes(1_000_000))
                while len(pieces) < count:
                    await asyncio.sleep(0.01)

    uvloop.run(all_at_once(150))
    assert READ_BYTES_MIN < max(pieces) <= READ_BYTES_MAX
    assert sum(pieces) <= TURN_BYTES + READ_BYTES_MAX + len(pieces) * READ_BYTES_MIN, pieces


async def talk(address: tuple[str, int], said: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(said)
    answered = await reader.read()
    writer.close()
    return answered


def test_a_body_in_many_small_chunks_is_copied_once() -> None:
    """Bytes would be copied anew for each of them: some seconds in the event loop, for anybody who asks."""
    grown: list[Any] = []
    came = bytearray()

    class Watched(Protocol):
        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            if len(self.cycle.body) > len(body):
                grown.append(self.cycle.body)

    async def read(_scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            came.extend(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})

    async def send_chunks() -> None:
        async with serving(read, Watched) as address, asyncio.timeout(30):
            head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            await talk(address, head + b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n")

    uvloop.run(send_chunks())
    assert came == b"x" * 10_000
    assert grown
    assert not any(isinstance(body, bytes) for body in grown)


async def answer_at_once(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def test_a_connection_has_only_so_many_requests_waiting() -> None:
    """They wait in memory, and anybody may send them. The others are passed over, and the connection is closed."""

    async def pipeline(count: int) -> bytes:
        async with serving(answer_at_once) as address, asyncio.timeout(30):
            return await talk(address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * count)

    assert uvloop.run(pipeline(3 * PIPELINED_MAX)).count(b"HTTP/1.1 200 OK\r\n") == 1 + PIPELINED_MAX


def test_a_request_is_answered_whatever_comes_behind_it() -> None:
    """What was bought has its own answer: a 400 would tell its client that nothing was."""

    async def with_noise() -> bytes:
        async with serving(answer_at_once) as address, asyncio.timeout(30):
            return await talk(address, b"GET / HTTP/1.1\r\nhost: a\r\n\r\nnoise\r\n\r\n")

    answered = uvloop.run(with_noise())
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answered.count(b"HTTP/1.1") == 1
