"""The connections to the relay: which are kept, which are not trusted again, and what reaches a slow reader."""

import asyncio
import contextlib
import socket
import threading
from pathlib import Path

import pytest

from app.upstream import session
from app.upstream.client import Broken, HttpUpstream, NotSent
from tests.upstream.given import body_of, image_request
from tests.upstream.raw_server import RawServer, Request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def ok(request: Request) -> None:
    await request.send(OK)


def answers(*parts: bytes, close: bool = False):  # type: ignore[no-untyped-def]
    async def step(request: Request) -> None:
        for part in parts:
            await request.send(part)
        if close:
            request.writer.close()

    return step


async def post(upstream: HttpUpstream) -> bytes:
    return await body_of(await upstream.send(image_request(), model_drops_response_format=False, request_id="req_1"))


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
)
async def test_interim_answers_are_passed_over(relay: RawServer, upstream: HttpUpstream, interim: bytes) -> None:
    relay.script = [answers(interim, interim, OK), ok]

    assert await post(upstream) == b"ok"
    assert await post(upstream) == b"ok"

    assert relay.connections == 1


async def test_a_body_may_end_with_its_connection(relay: RawServer, upstream: HttpUpstream) -> None:
    relay.script = [answers(b"HTTP/1.1 200 OK\r\n\r\n", b"until", b" the end", close=True), ok]

    assert await post(upstream) == b"until the end"
    assert await post(upstream) == b"ok"

    assert relay.connections == 2


async def test_chunks_and_their_trailers_are_read_to_the_end(relay: RawServer, upstream: HttpUpstream) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    relay.script = [answers(head, b"3;a=b\r\nabc\r\n", b"2\r\nde\r\n0\r\nX-Late: 1\r\n\r\n"), ok]

    assert await post(upstream) == b"abcde"
    assert await post(upstream) == b"ok"

    assert relay.connections == 1


@pytest.mark.parametrize(
    "spoiled",
    [b"3\r\nabc\r\nno length\r\n", b"3\r\nabc\r\n0\r\nX-Late: " + b"x" * 200_000],
    ids=["no length", "a trailer without an end"],
)
async def test_chunks_that_cannot_be_read_are_broken(relay: RawServer, upstream: HttpUpstream, spoiled: bytes) -> None:
    relay.script = [answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", spoiled)]

    with pytest.raises(Broken):
        await post(upstream)


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
    relay: RawServer, upstream: HttpUpstream, last: object
) -> None:
    relay.script = [last, ok]  # type: ignore[list-item]

    assert await post(upstream) == b"ok"
    assert await post(upstream) == b"ok"

    assert relay.connections == 2


async def test_an_answer_nobody_asked_for_is_not_taken_for_the_next_one(
    relay: RawServer, upstream: HttpUpstream
) -> None:
    late = asyncio.Event()

    async def ok_and_more(request: Request) -> None:
        await request.send(OK)
        await late.wait()
        await request.send(OK.replace(b"ok", b"no"))
        late.clear()

    relay.script = [ok_and_more, ok]

    assert await post(upstream) == b"ok"
    late.set()
    while late.is_set():
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # It crosses loopback; nothing shows when this side has it.
    assert await post(upstream) == b"ok"

    assert relay.connections == 2


async def test_an_end_the_event_loop_has_not_read_yet_is_seen_before_writing() -> None:
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
        upstream = HttpUpstream(f"http://127.0.0.1:{listener.getsockname()[1]}", "sk-secret")
        assert await post(upstream) == b"ok"

        assert closed.wait(30)  # The event loop stands still meanwhile, and has not heard of the end.
        assert await post(upstream) == b"ok"

        await upstream.close()
        await asyncio.to_thread(serving.join, 30)


@pytest.mark.parametrize(
    "end", [b"0\r\n\r\n", b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"], ids=["no more", "one more event"]
)
async def test_a_connection_is_used_again_after_a_stream(relay: RawServer, upstream: HttpUpstream, end: bytes) -> None:
    read = asyncio.Event()

    async def stream(request: Request) -> None:
        await request.send(STREAM + b"9\r\ndata: 1\n\n\r\n")
        await read.wait()
        await request.send(end)

    relay.script = [stream, ok]

    answer = await upstream.get("/")
    assert await anext(answer.chunks()) == b"data: 1\n\n"
    await answer.close()
    read.set()
    await asyncio.gather(*upstream._ending_tasks)
    assert await post(upstream) == b"ok"

    assert relay.connections == 1


async def test_a_stream_without_an_end_loses_its_connection(relay: RawServer, upstream: HttpUpstream) -> None:
    gone = asyncio.Event()

    async def endless(request: Request) -> None:
        await request.send(STREAM)
        with contextlib.suppress(ConnectionError):
            while True:
                await request.send(b"9\r\ndata: 1\n\n\r\n" * 1000)
        gone.set()

    relay.script = [endless]

    answer = await upstream.get("/")
    await anext(answer.chunks())
    await answer.close()

    await asyncio.wait_for(gone.wait(), 30)


async def test_an_answer_that_is_not_taken_is_held_back_at_the_socket(relay: RawServer, upstream: HttpUpstream) -> None:
    size_bytes, sent_bytes = 128 * 1024 * 1024, 0

    async def flood(request: Request) -> None:
        nonlocal sent_bytes
        await request.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\n\r\n".encode())
        while sent_bytes < size_bytes:
            await request.send(b"x" * 65_536)
            sent_bytes += 65_536

    relay.script = [flood]

    answer = await upstream.get("/")
    still = -1
    while still != sent_bytes:  # What the two sockets and the buffer take is taken; then nothing moves.
        still = sent_bytes
        await asyncio.sleep(0.1)

    assert sent_bytes < size_bytes / 2
    assert sum([len(chunk) async for chunk in answer.chunks()]) == size_bytes


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nX-Odd: a\x01b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 30_000 + b"\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Type: a\r\nContent-Type: b\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["line feeds alone", "a control character", "spaces behind a length", "a long header", "a header twice"],
)
async def test_what_is_paid_for_is_read_although_it_is_not_quite_http(
    relay: RawServer, upstream: HttpUpstream, odd: bytes
) -> None:
    relay.script = [answers(odd)]

    assert await post(upstream) == b"ok"


async def test_a_refusal_before_the_upload_is_through_is_the_answer(tmp_path: Path) -> None:
    served = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        await served.wait()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=1024)
    upstream = HttpUpstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "sk-secret")
    wanted = image_request(operation="edit", files={"image": b"x" * 20_000_000}, directory=tmp_path)

    answer = await upstream.send(wanted, model_drops_response_format=False, request_id="req_1")

    assert (answer.status, await body_of(answer)) == (413, b"large")
    served.set()
    await upstream.close()
    server.close()


async def test_an_idle_connection_is_closed_by_us(relay: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "IDLE_S", 0.1)
    upstream, gone = HttpUpstream(relay.url, "sk-secret"), asyncio.Event()

    async def ok_and_wait(request: Request) -> None:
        await request.send(OK)
        assert await request.reader.read() == b""
        gone.set()

    relay.script = [ok_and_wait]
    assert await post(upstream) == b"ok"

    await asyncio.wait_for(gone.wait(), 30)
    await upstream.close()


async def test_an_exchange_that_is_given_up_closes_its_connection(relay: RawServer, upstream: HttpUpstream) -> None:
    gone = asyncio.Event()

    async def hang(request: Request) -> None:
        asking.cancel()
        assert await request.reader.read() == b""
        gone.set()

    relay.script = [hang, ok]
    asking = asyncio.create_task(post(upstream))
    with pytest.raises(asyncio.CancelledError):
        await asking

    await asyncio.wait_for(gone.wait(), 30)
    assert await post(upstream) == b"ok"


async def test_a_client_that_was_closed_sends_nothing(relay: RawServer, upstream: HttpUpstream) -> None:
    await upstream.close()

    with pytest.raises(NotSent):
        await post(upstream)


async def test_the_words_of_a_failure_quote_nothing(relay: RawServer, upstream: HttpUpstream) -> None:
    relay.script = [answers(b"HTTP/1.1 200 OK\r\nBad Header sk-secret\r\n\r\n")]

    with pytest.raises(Broken) as caught:
        await upstream.get("/v1/models")

    assert "sk-secret" not in str(caught.value)
