"""The server's manners."""

import asyncio
import resource
import select
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from app.cli.server import HELD_BYTES_MAX, Corked, Protocol

SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from app.cli.server import allow_many_files
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
        config = uvicorn.Config(talk, http=Protocol, lifespan="off", log_config=None, access_log=False)
        server, sock = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([sock]))
        for _ in range(50):
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            await reader.readline()
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        server.should_exit = True
        await serving

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
        config = uvicorn.Config(answer, http=Protocol, lifespan="off", log_config=None, access_log=False)
        server, sock = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
        serving = asyncio.create_task(server.serve([sock]))
        far.append(socket.create_connection(sock.getsockname()))
        far[0].sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        async with asyncio.timeout(30):
            while not there:
                await asyncio.sleep(0.01)
        far[0].close()
        server.should_exit = True
        await serving

    uvloop.run(ask_once())
    assert there[0].startswith(b"HTTP/1.1 200")
    assert there[0].endswith(b"done")
