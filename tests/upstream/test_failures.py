"""Failures of an exchange: proved not to have been sent, or broken; neither is sent again."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from app.upstream.client import Broken, HttpUpstream, NotSent
from tests.upstream.given import ANSWER, answer_ok, body_of, send
from tests.upstream.raw_server import RawServer, Request, garbage, hang, hang_up, reset


async def test_refused_is_not_sent() -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        upstream = HttpUpstream(f"http://127.0.0.1:{placeholder.getsockname()[1]}", "sk-secret")
        with pytest.raises(NotSent) as caught:
            await send(upstream)
        await upstream.close()

    assert "sk-secret" not in str(caught.value)


async def test_a_name_that_does_not_resolve_is_not_sent() -> None:
    upstream = HttpUpstream("https://relay.invalid", "sk-secret")
    with pytest.raises(NotSent):
        await send(upstream)
    await upstream.close()


async def test_a_failed_tls_handshake_is_not_sent(relay: RawServer) -> None:
    upstream = HttpUpstream(relay.url.replace("http:", "https:"), "sk-secret", connect_timeout_s=0.3)
    with pytest.raises(NotSent):
        await send(upstream)
    await upstream.close()

    assert relay.requests == []


async def test_a_connection_that_does_not_come_about_in_time_is_not_sent() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        with socket.create_connection(deaf.getsockname()):
            upstream = HttpUpstream(f"http://127.0.0.1:{deaf.getsockname()[1]}", "sk-secret", connect_timeout_s=0.2)
            with pytest.raises(NotSent):
                await send(upstream)
            await upstream.close()


async def half_a_head(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    request.writer.close()


async def huge_headers(request: Request) -> None:
    await request.answer(b"", headers="X-A: " + "a" * 200_000)


async def many_headers(request: Request) -> None:
    await request.answer(b"", headers="\r\n".join(["X-A: a"] * 5000))


async def two_lengths(request: Request) -> None:
    await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")


FAULTS = [reset, hang_up, hang, garbage, half_a_head, huge_headers, many_headers, two_lengths]


@pytest.mark.parametrize("fault", FAULTS)
async def test_whatever_happens_after_sending_is_broken_and_never_sent_again(
    relay: RawServer, upstream: HttpUpstream, fault: Callable[[Request], Awaitable[None]]
) -> None:
    relay.script = [fault, answer_ok, answer_ok]

    with pytest.raises(Broken):
        await body_of(await send(upstream))

    assert len(relay.requests) == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_kept_connection_that_fails_does_not_send_again(
    relay: RawServer, upstream: HttpUpstream, fault: Callable[[Request], Awaitable[None]]
) -> None:
    relay.script = [answer_ok, fault, answer_ok, answer_ok]

    await body_of(await send(upstream))
    with pytest.raises(Broken):
        await body_of(await send(upstream))

    assert (len(relay.requests), relay.connections) == (2, 1)


async def test_an_edit_on_a_kept_connection_that_fails_is_not_sent_again(
    relay: RawServer, upstream: HttpUpstream, tmp_path: Path
) -> None:
    relay.script = [answer_ok, reset, answer_ok]

    await body_of(await send(upstream))
    with pytest.raises(Broken):
        await send(upstream, operation="edit", files={"image": b"x" * 900_000}, directory=tmp_path)

    assert len(relay.requests) == 2


async def test_a_connection_the_relay_closed_between_requests_costs_nothing(
    relay: RawServer, upstream: HttpUpstream
) -> None:
    closed = asyncio.Event()

    async def answer_and_close(request: Request) -> None:
        await request.answer_json(ANSWER)
        request.writer.close()
        await request.writer.wait_closed()
        closed.set()

    relay.script = [answer_and_close, answer_ok]

    await body_of(await send(upstream))
    await closed.wait()
    await asyncio.sleep(0.05)  # the FIN crosses loopback; nothing tells when our side has seen it
    assert json.loads(await body_of(await send(upstream))) == ANSWER

    assert (len(relay.requests), relay.connections) == (2, 2)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("end", [reset, hang_up, hang])
async def test_a_body_that_does_not_end_as_it_should_is_broken(
    relay: RawServer, upstream: HttpUpstream, chunked: bool, end: Callable[[Request], Awaitable[None]]
) -> None:
    async def cut(request: Request) -> None:
        framing = b"Transfer-Encoding: chunked\r\n\r\n400\r\n" if chunked else b"Content-Length: 1000\r\n\r\n"
        await request.send(b"HTTP/1.1 200 OK\r\n" + framing + b'{"data":')
        await end(request)

    relay.script = [cut]

    with pytest.raises(Broken):
        await body_of(await send(upstream))
