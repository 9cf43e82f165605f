import asyncio
import json
import random
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.upstream.addresses import relay_root
from app.upstream.client import Answer, Broken, HttpUpstream, NotSent
from tests.upstream.given import image_request
from tests.upstream.raw_server import RawServer, Request

ANSWER = {"created": 1, "data": [{"url": "https://pictures.example/1"}]}


async def send(upstream: HttpUpstream, **request: Any) -> Answer:
    return await upstream.send(image_request(**request), model_drops_response_format=False, request_id="req_1")


async def body_of(answer: Answer) -> bytes:
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.close()


async def answer_ok(request: Request) -> None:
    await request.answer_json(ANSWER)


async def test_a_generation_goes_out_compact_with_headers_built_from_nothing(
    relay: RawServer, upstream: HttpUpstream
) -> None:
    relay.script = [answer_ok]

    answer = await send(upstream, fields={"seed": -1, "response_format": "url"})

    assert json.loads(await body_of(answer)) == ANSWER
    [request] = relay.requests
    assert request.line == "POST /v1/images/generations HTTP/1.1"
    assert request.body.decode() == '{"model":"gpt-image-1","prompt":"猫 cat","seed":-1,"response_format":"url"}'
    agent = request.headers.pop("user-agent", None)
    assert request.headers | {"user-agent": agent} == {
        "host": relay.url.removeprefix("http://"),
        "authorization": "Bearer sk-secret",
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": str(len(request.body)),
        "x-request-id": "req_1",
        "user-agent": request.headers["user-agent"],
    }
    assert request.headers["user-agent"].startswith("imagegate/")


async def test_response_format_is_dropped_where_the_model_refuses_it(relay: RawServer, upstream: HttpUpstream) -> None:
    relay.script = [answer_ok]
    wanted = image_request(fields={"response_format": "b64_json"})

    await (await upstream.send(wanted, model_drops_response_format=True, request_id="req_1")).close()

    assert "response_format" not in json.loads(relay.requests[0].body)
    assert wanted.fields["response_format"] == "b64_json"


@pytest.mark.parametrize("operation", ["edit", "variation"])
async def test_files_stream_from_the_spool_with_their_exact_length(
    relay: RawServer, upstream: HttpUpstream, tmp_path: Path, operation: Any
) -> None:
    relay.script = [answer_ok]
    picture = random.Random(1).randbytes(3_000_000)

    await (await send(upstream, operation=operation, files={"image": picture}, directory=tmp_path)).close()

    [request] = relay.requests
    assert request.line == f"POST /v1/images/{operation}s HTTP/1.1"
    assert "transfer-encoding" not in request.headers
    assert int(request.headers["content-length"]) == len(request.body)
    assert picture in request.body


async def test_what_the_head_says_is_told(relay: RawServer, upstream: HttpUpstream) -> None:
    async def limited(request: Request) -> None:
        headers = "Content-Type: text/html\r\nRetry-After: 9\r\nX-Oneapi-Request-Id: abc"
        await request.answer(b"<html>", "429 Too Many Requests", headers)

    relay.script = [limited]

    answer = await send(upstream)
    await body_of(answer)

    told = (answer.status, answer.content_type, answer.retry_after, answer.upstream_request_id)
    assert told == (429, "text/html", "9", "abc")


async def test_no_cookie_is_kept(relay: RawServer) -> None:
    async def with_cookie(request: Request) -> None:
        await request.answer(b"", headers="Set-Cookie: a=b; Path=/")

    relay.script = [with_cookie, answer_ok]
    upstream = HttpUpstream(
        relay.url.replace("127.0.0.1", "localhost"), "sk-secret"
    )  # no jar keeps those of an address

    await body_of(await send(upstream))
    await body_of(await send(upstream))
    await upstream.close()

    assert "cookie" not in relay.requests[1].headers


async def test_a_kept_connection_serves_the_next_request(relay: RawServer, upstream: HttpUpstream) -> None:
    relay.script = [answer_ok, answer_ok]

    await body_of(await send(upstream))
    await body_of(await send(upstream))

    assert relay.connections == 1


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


async def reset(request: Request) -> None:
    request.reset()


async def hang_up(request: Request) -> None:
    request.writer.close()


async def hang(request: Request) -> None:
    await request.reader.read()


async def garbage(request: Request) -> None:
    await request.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


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


async def test_a_drip_is_read_to_its_end(relay: RawServer, upstream: HttpUpstream) -> None:
    async def drip(request: Request) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            await request.send(b"x")
            await asyncio.sleep(0.02)

    relay.script = [drip]

    assert await body_of(await send(upstream)) == b"x" * 20


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(
    relay: RawServer, upstream: HttpUpstream, status: int
) -> None:
    async def redirect(request: Request) -> None:
        await request.answer(b"", f"{status} Moved", f"Location: {relay.url}/elsewhere")

    relay.script = [redirect, answer_ok]

    answer = await send(upstream)
    await body_of(answer)

    assert answer.status == status
    assert len(relay.requests) == 1


async def test_an_early_refusal_of_a_large_upload_never_sends_twice(
    relay: RawServer, upstream: HttpUpstream, tmp_path: Path
) -> None:
    relay.script = [reset, answer_ok]

    with pytest.raises(Broken):
        await send(upstream, operation="edit", files={"image": b"x" * 900_000}, directory=tmp_path)

    assert len(relay.requests) == 1


async def test_closing_before_the_end_closes_the_connection(relay: RawServer, upstream: HttpUpstream) -> None:
    left = asyncio.Event()

    async def endless(request: Request) -> None:
        await request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
        await request.reader.read()
        left.set()

    relay.script = [endless]

    answer = await send(upstream)
    await answer.close()
    await answer.close()

    await asyncio.wait_for(left.wait(), 2)


async def test_the_environment_chooses_no_proxy(
    relay: RawServer, upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.script = [answer_ok]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    await body_of(await send(upstream))

    assert len(relay.requests) == 1


@pytest.mark.parametrize(
    "address",
    ["https://api.whatai.cc", "https://api.whatai.cc/", "https://api.whatai.cc/v1", " https://api.whatai.cc/v1/ "],
)
def test_the_address_may_end_in_v1(address: str) -> None:
    assert relay_root(address) == "https://api.whatai.cc"


@pytest.mark.parametrize(
    "address",
    ["", "api.whatai.cc", "ftp://a", "https://", "https://a?b", "https://u:p@a", "https://a:x", "https://[::"],
)
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError):
        relay_root(address)
