"""The connections to the relay: what is kept, what is held back, what ends an exchange. Faults are in `test_client.py`."""

import asyncio
import contextlib
import random
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from app.errors import ConfigurationError
from app.upstream import connections
from app.upstream.client import Broken, HttpAnswer, HttpUpstream
from app.upstream.connection import BUFFER_BYTES, HEAD_BYTES_MAX, READ_BYTES, Connection, ConnectionBroke
from app.upstream.connections import Connections
from benchmarks.certificate import certify
from tests.upstream.given import image_request
from tests.upstream.raw_server import RawServer, Request

GET = b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def ok(request: Request) -> None:
    await request.send(OK)


def answers(*parts: bytes, close: bool = False):  # type: ignore[no-untyped-def]
    async def step(request: Request) -> None:
        for part in parts:
            await request.send(part)
        if close:
            request.writer.close()

    return step


@pytest.fixture
async def to_relay(relay: RawServer) -> AsyncIterator[Connections]:
    opened = Connections(urlsplit(relay.url), connect_timeout_s=2, silent_s=1)
    yield opened
    await opened.close()


async def body(connection: Connection) -> AsyncIterator[bytes]:
    while piece := await connection.read():
        yield piece


async def ask(to_relay: Connections) -> bytes:
    connection = await to_relay.take()
    try:
        await connection.send(GET, ())
        return b"".join([chunk async for chunk in body(connection)])
    finally:
        to_relay.give_back(connection)


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
async def test_what_comes_before_the_answer_is_passed_over(
    relay: RawServer, to_relay: Connections, interim: bytes
) -> None:
    relay.script = [answers(interim, interim, OK), ok]

    assert await ask(to_relay) == b"ok"
    assert await ask(to_relay) == b"ok"

    assert relay.connections == 1


async def test_a_body_may_end_with_its_connection(relay: RawServer, to_relay: Connections) -> None:
    relay.script = [answers(b"HTTP/1.1 200 OK\r\n\r\n", b"until", b" the end", close=True), ok]

    assert await ask(to_relay) == b"until the end"
    assert await ask(to_relay) == b"ok"

    assert relay.connections == 2


async def test_chunks_and_their_trailers_are_read_to_the_end(relay: RawServer, to_relay: Connections) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    relay.script = [answers(head, b"3;a=b\r\nabc\r\n", b"2\r\nde\r\n0\r\nX-Late: 1\r\n\r\n"), ok]

    assert await ask(to_relay) == b"abcde"
    assert await ask(to_relay) == b"ok"

    assert relay.connections == 1


async def test_a_trailer_without_an_end_is_broken(relay: RawServer, to_relay: Connections) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Late: "
    relay.script = [answers(head, *[b"x" * 65_536] * ((READ_BYTES + HEAD_BYTES_MAX) // 65_536 + 1))]

    with pytest.raises(ConnectionBroke, match="without an end"):
        await ask(to_relay)


@pytest.mark.parametrize(
    "last",
    [
        answers(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")),
        answers(OK + OK),
        answers(OK.replace(b"1.1", b"1.0")),
    ],
    ids=["asked to close", "a second answer", "an old relay"],
)
async def test_a_connection_that_cannot_be_trusted_again_is_not_kept(
    relay: RawServer, to_relay: Connections, last: object
) -> None:
    relay.script = [last, ok]  # type: ignore[list-item]

    assert await ask(to_relay) == b"ok"
    assert await ask(to_relay) == b"ok"

    assert relay.connections == 2


async def test_what_nobody_asked_for_closes_a_kept_connection(relay: RawServer, to_relay: Connections) -> None:
    late = asyncio.Event()

    async def ok_and_more(request: Request) -> None:
        await request.send(OK)
        await late.wait()
        await request.send(OK)

    relay.script = [ok_and_more, ok]

    assert await ask(to_relay) == b"ok"
    connection = to_relay._idle[0]
    late.set()
    await _until(lambda: not connection.reusable)
    assert await ask(to_relay) == b"ok"

    assert relay.connections == 2


async def test_an_answer_that_is_not_taken_is_held_back_at_the_socket(relay: RawServer, to_relay: Connections) -> None:
    size = 64 * 1024 * 1024
    sent = 0

    async def flood(request: Request) -> None:
        nonlocal sent
        await request.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        while sent < size:
            await request.send(b"x" * 65_536)
            sent += 65_536

    relay.script = [flood]
    connection = await to_relay.take()
    await connection.send(GET, ())

    await _until(lambda: connection._held_back)
    still, now = -1, sent
    while still != now:  # What the two sockets take is taken; then nothing moves.
        await asyncio.sleep(0.05)
        still, now = now, sent

    assert connection._waiting_bytes <= READ_BYTES + BUFFER_BYTES
    assert sent < size / 2
    assert sum([len(chunk) async for chunk in body(connection)]) == size
    to_relay.give_back(connection)


async def test_behind_a_large_answer_that_is_not_taken_yet_the_connection_still_listens(
    relay: RawServer, to_relay: Connections
) -> None:
    size, nearly = READ_BYTES + 1000, asyncio.Event()

    async def and_another(request: Request) -> None:
        await request.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * (size - 2000))
        await nearly.wait()
        await request.send(b"x" * 2000)
        await late.wait()
        await request.send(OK.replace(b"ok", b"no"))

    late = asyncio.Event()
    relay.script = [and_another, ok]
    connection = await to_relay.take()
    await connection.send(GET, ())
    await _until(lambda: connection._waiting_bytes == size - 2000)
    nearly.set()
    await _until(lambda: connection._whole)
    late.set()
    await _until(lambda: connection._fault is not None)

    assert connection._fault == "something came that was not asked for"
    assert sum([len(chunk) async for chunk in body(connection)]) == size
    to_relay.give_back(connection)
    assert await ask(to_relay) == b"ok"


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nX-Odd: a\x01b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n",
    ],
    ids=["line feeds alone", "a control character", "spaces behind a length"],
)
async def test_what_is_paid_for_is_read_although_it_is_not_quite_http(
    relay: RawServer, to_relay: Connections, odd: bytes
) -> None:
    relay.script = [answers(odd)]

    assert await ask(to_relay) == b"ok"


async def test_an_answer_before_its_request_has_left_whole_spoils_the_connection(tmp_path: Path) -> None:
    """Also where all of it was handed over, and the rest waits in our own memory: the next request would wait behind it."""
    read = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await read.wait()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1024)
    root = urlsplit(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    opened = Connections(root, connect_timeout_s=2, silent_s=2)
    connection = await opened.take()

    def until_the_sockets_are_full() -> Iterator[bytes]:
        while not connection._transport.get_write_buffer_size():
            yield b"x" * 65_536

    await connection.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n", until_the_sockets_are_full()
    )
    assert connection._sent
    assert b"".join([chunk async for chunk in body(connection)]) == b"no"
    opened.give_back(connection)

    assert not opened._idle
    read.set()
    await opened.close()
    server.close()


async def test_an_end_that_was_not_read_yet_is_seen_before_the_connection_is_taken(
    relay: RawServer, to_relay: Connections
) -> None:
    closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(1000)
                    peer.sendall(OK)
                    closed.wait(0.1)
                closed.set()

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        opened = Connections(urlsplit(f"http://127.0.0.1:{listener.getsockname()[1]}"), connect_timeout_s=2, silent_s=2)
        assert await ask(opened) == b"ok"

        assert closed.wait(2)  # The event loop stands still meanwhile, and has not heard of the end.
        assert opened._idle[0].reusable
        assert await ask(opened) == b"ok"

        await opened.close()
        await asyncio.to_thread(serving.join, 2)


async def test_a_connection_that_the_relay_is_closing_is_not_taken(relay: RawServer, to_relay: Connections) -> None:
    relay.script = [answers(OK, close=True), ok]
    assert await ask(to_relay) == b"ok"
    connection = to_relay._idle[0]

    await _until(lambda: connection._transport.is_closing())

    assert await to_relay.take() is not connection


async def test_a_refusal_before_the_upload_is_through_is_the_answer(
    relay: RawServer, upstream: HttpUpstream, tmp_path: Path
) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"
    served = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await served.wait()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = HttpUpstream(address, "sk-secret")
    wanted = image_request(operation="edit", files={"image": b"x" * 9_000_000}, directory=tmp_path)

    answer = await client.send(wanted, model_drops_response_format=False, request_id="req_1")

    assert (answer.status, await _body(answer)) == (413, b"large")
    assert not client._connections._idle
    served.set()
    await client.close()
    server.close()


async def test_what_is_idle_for_long_is_closed_by_us(
    relay: RawServer, to_relay: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.1)
    gone = asyncio.Event()

    async def ok_and_wait(request: Request) -> None:
        await request.send(OK)
        assert await request.reader.read() == b""
        gone.set()

    relay.script = [ok_and_wait]
    assert await ask(to_relay) == b"ok"

    await asyncio.wait_for(gone.wait(), 2)

    assert (len(to_relay._idle), len(to_relay._all)) == (0, 0)


async def test_silence_in_the_middle_is_broken(relay: RawServer) -> None:
    async def half(request: Request) -> None:
        await request.send(OK[:-1])
        await request.reader.read()

    relay.script = [half]
    impatient = Connections(urlsplit(relay.url), connect_timeout_s=2, silent_s=0.1)

    with pytest.raises(ConnectionBroke, match="silent"):
        await ask(impatient)
    await impatient.close()


async def test_many_that_connect_at_once_ask_for_the_address_once(
    relay: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, asked = asyncio.get_running_loop(), 0
    resolve = loop.getaddrinfo

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal asked
        asked += 1
        return await resolve(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "getaddrinfo", counted)
    relay.script = [ok] * 20
    named = Connections(urlsplit(relay.url.replace("127.0.0.1", "localhost")), connect_timeout_s=2, silent_s=1)

    assert await asyncio.gather(*(ask(named) for _ in range(20))) == [b"ok"] * 20

    assert asked == 1
    await named.close()


async def test_an_exchange_that_is_given_up_closes_its_connection(relay: RawServer, to_relay: Connections) -> None:
    gone = asyncio.Event()

    async def hang(request: Request) -> None:
        assert await request.reader.read() == b""
        gone.set()

    relay.script = [hang, ok]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await ask(to_relay)

    await asyncio.wait_for(gone.wait(), 2)
    assert await ask(to_relay) == b"ok"


async def test_a_large_answer_comes_through_tls_and_a_stranger_is_not_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify(tmp_path)
    if certificate is None:
        pytest.skip("there is no openssl on the PATH")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    picture = bytes(range(256)) * 12_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(picture)}\r\n\r\n".encode() + picture)
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    root = urlsplit(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    with pytest.raises(connections.NotConnected):
        await Connections(root, connect_timeout_s=2, silent_s=1).take()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting = Connections(root, connect_timeout_s=2, silent_s=1)

    assert await ask(trusting) == picture
    assert await ask(trusting) == picture

    assert len(trusting._idle) == 1
    await trusting.close()
    server.close()


@pytest.mark.parametrize("key", ["sk-a\r\nX-Evil: 1", "sk-ключ", "sk-\x00"])
async def test_a_key_that_would_leave_its_line_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpUpstream("http://127.0.0.1:1", key)

    assert key not in str(caught.value)


async def test_the_words_of_a_failure_quote_nothing(relay: RawServer, upstream: HttpUpstream) -> None:
    relay.script = [answers(b"HTTP/1.1 200 OK\r\nBad Header sk-secret\r\n\r\n")]

    with pytest.raises(Broken) as caught:
        await upstream.get("/v1/models")

    assert "sk-secret" not in str(caught.value)


async def _body(answer: HttpAnswer) -> bytes:
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.close()


async def _until(true) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0)


class _Wire(asyncio.Transport):
    """A transport that sends into the void: what comes is fed by the test, cut where it likes."""

    def write(self, data: object) -> None:
        pass

    def abort(self) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


BODY = bytes(range(256)) * 3
FRAMED = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n%b\r\n%x;x=y\r\n%b\r\n0\r\nLate: 1\r\n\r\n"
    % (BODY[:5], len(BODY) - 5, BODY[5:]),
    "interim": b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"
    % (len(BODY), BODY),
}


@pytest.mark.parametrize("framing", FRAMED)
@pytest.mark.parametrize("seed", range(40))
async def test_an_answer_is_the_same_wherever_it_is_cut(framing: str, seed: int) -> None:
    buffer, rng, answer = memoryview(bytearray(READ_BYTES)), random.Random(seed), FRAMED[framing]
    connection = Connection(buffer, silent_s=5)
    connection.connection_made(_Wire())
    asked = asyncio.ensure_future(connection.send(GET, ()))
    await asyncio.sleep(0)

    while answer:
        piece, answer = answer[: (cut := rng.randint(1, rng.choice((3, 30, 300))))], answer[cut:]
        buffer[: len(piece)] = piece
        connection.buffer_updated(len(piece))
        buffer[: len(piece)] = bytes(len(piece))  # Somebody else's bytes lie there next.
    await asked

    assert (connection.status, b"".join([chunk async for chunk in body(connection)])) == (200, BODY)
    assert connection.finish()
