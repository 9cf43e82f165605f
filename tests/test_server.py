"""What our server adds to uvicorn, over real sockets."""

import asyncio
import json
import resource
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from app import server as server_module
from app.errors import ConfigurationError
from app.server import HEAD_BYTES_MAX, PIPELINED_MAX, UNIX_MODE, Protocol, listen_at

SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from app.server import allow_many_files
allow_many_files()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def test_a_low_limit_of_open_files_is_raised_as_far_as_may_be() -> None:
    said = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout

    soft, hard = map(int, said.split())
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[tuple[str, int]]:
    """An address where `app` is served by our protocol."""
    config = uvicorn.Config(app, http=Protocol, ws="none", lifespan="off", log_config=None, access_log=False)
    server, sock = uvicorn.Server(config), socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve([sock]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(30):
            yield sock.getsockname()
    finally:
        server.should_exit = server.force_exit = True
        await task


async def talk(address: tuple[str, int], said: bytes) -> bytes:
    """Everything that comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(said)
    answered = await reader.read()
    writer.close()
    return answered


async def echo_length(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the whole body and answer its length."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"%d" % length
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: ", b"a" * 4096),
        (b"GET / HTTP/1.1\r\nhost: a\r\n", b"x: a\r\n" * 700),
        (b"GET /", b"a" * 4096),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"x: a\r\n" * 700),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx: ", b"a" * 4096),
    ],
    ids=["a header's value", "header lines", "a URL", "trailer lines", "a trailer's value"],
)
def test_a_head_without_an_end_is_cut_off(begin: bytes, endless: bytes) -> None:
    taken = 0

    async def send_without_end() -> bytes:
        nonlocal taken
        async with serving(echo_length) as address:
            reader, writer = await asyncio.open_connection(*address)
            answer = asyncio.create_task(reader.read(100_000))
            writer.write(begin)
            while not answer.done() and taken < 100 * HEAD_BYTES_MAX:
                writer.write(endless)
                await writer.drain()
                taken += len(endless)
                await asyncio.sleep(0)
            writer.close()
            return await answer

    head, _, body = uvloop.run(send_without_end()).partition(b"\r\n\r\n")

    assert taken < 100 * HEAD_BYTES_MAX
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"\r\nx-should-retry: false" in head
    assert json.loads(body)["error"]["code"] == "headers_too_large"


def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 3.0)
    cases = [[b""], [b"GET / HT"], [GET[:-2]], [GET, b"GET /"], [GET, b"\r\n"]]

    async def begin(address: tuple[str, int], begun: list[bytes]) -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        for whole in begun[:-1]:
            writer.write(whole)
            await reader.readuntil(b"\r\n\r\n0")
        writer.write(begun[-1])
        rest = await reader.read()
        writer.close()
        return rest

    async def begin_all() -> list[bytes]:
        async with serving(echo_length) as address:
            return await asyncio.gather(*(begin(address, begun) for begun in cases))

    assert uvloop.run(begin_all()) == [b""] * len(cases)


def test_a_body_may_come_later_than_a_head_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 3.0)

    async def send_slowly() -> bytes:
        async with serving(echo_length) as address:
            reader, writer = await asyncio.open_connection(*address)
            for piece in (
                b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
                b"5\r\n",
                b"h",
                b"ello\r\n",
            ):
                writer.write(piece)
                await asyncio.sleep(0.9)
            writer.write(b"0\r\n\r\n")
            answered = await reader.readuntil(b"5")
            writer.close()
            return answered

    assert uvloop.run(send_slowly()).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_that_reads_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "READER_TIMEOUT_S", 0.2)
    ended: list[str] = []

    async def send_much(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        ended.append((await receive())["type"])

    async def never_read() -> None:
        async with serving(send_much) as address:
            with socket.create_connection(address) as client:
                client.sendall(GET)
                while not ended:
                    await asyncio.sleep(0.01)

    uvloop.run(never_read())
    assert ended == ["http.disconnect"]


def test_a_connection_has_only_so_many_requests_waiting() -> None:
    """They wait in memory, and anybody may send them. Those beyond are passed over, and the connection is closed."""

    async def pipeline(count: int) -> bytes:
        async with serving(echo_length) as address:
            return await talk(address, GET * count)

    assert uvloop.run(pipeline(3 * PIPELINED_MAX)).count(b"HTTP/1.1 200 OK\r\n") == 1 + PIPELINED_MAX


def test_a_request_is_answered_whatever_comes_behind_it() -> None:
    """Its client would take an error for the answer, and believe that nothing was bought."""

    async def with_noise() -> bytes:
        async with serving(echo_length) as address:
            return await talk(address, GET + b"noise\r\n\r\n")

    answered = uvloop.run(with_noise())
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answered.count(b"HTTP/1.1") == 1


def test_malformed_http_is_refused_in_openai_s_form() -> None:
    async def send_noise() -> bytes:
        async with serving(echo_length) as address:
            return await talk(address, b"noise\r\n\r\n")

    head, _, body = uvloop.run(send_noise()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nconnection: close" in head
    assert json.loads(body)["error"]["code"] == "invalid_request"


def test_a_connection_that_was_refused_is_closed_although_its_client_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "LINGER_S", 0.05)
    monkeypatch.setattr(server_module, "HEAD_TIMEOUT_S", 100.0)  # That is not what closes it.

    async def go_on() -> None:
        async with serving(echo_length) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"noise\r\n\r\n")
            await reader.read()
            with pytest.raises(ConnectionError):
                async with asyncio.timeout(30):
                    while True:
                        writer.write(b"more noise")
                        await writer.drain()
                        await asyncio.sleep(0.01)
            writer.close()

    uvloop.run(go_on())


@pytest.mark.parametrize("offer", [b"h2c", b"websocket"])
def test_an_offer_to_upgrade_is_ignored(offer: bytes) -> None:
    """Java's HttpClient makes one with every request to a plain http address."""
    head = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: " + offer + b"\r\ncontent-length: 5\r\n\r\n"

    async def ask_twice() -> bytes:
        async with serving(echo_length) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(head + b"hello")
            first = await reader.readuntil(b"\r\n\r\n5")
            writer.write(head + b"hello")
            second = await reader.readuntil(b"\r\n\r\n5")
            writer.close()
            return first + second

    assert uvloop.run(ask_twice()).count(b"HTTP/1.1 200 OK\r\n") == 2


def test_a_unix_socket_is_for_its_group_and_replaces_one_that_a_dead_gateway_left(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    listen_at(path).close()

    with listen_at(path) as listening:
        assert stat.S_IMODE(path.stat().st_mode) == UNIX_MODE
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        with pytest.raises(ConfigurationError, match="Use another --uds"):
            listen_at(path)
        assert listening.fileno() >= 0


def test_a_file_of_somebody_else_is_not_replaced_by_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("keep me")

    with pytest.raises(ConfigurationError):
        listen_at(path)

    assert path.read_text() == "keep me"
