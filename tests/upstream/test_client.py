import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from app.errors import ConfigurationError
from app.upstream.client import HttpUpstream
from tests.upstream.given import ANSWER, answer_ok, body_of, image_request, send
from tests.upstream.raw_server import RawServer, Request


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

    await asyncio.wait_for(left.wait(), 30)


async def test_the_environment_chooses_no_proxy(
    relay: RawServer, upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.script = [answer_ok]
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    await body_of(await send(upstream))

    assert len(relay.requests) == 1


@pytest.mark.parametrize("key", ["sk-a\r\nX-Evil: 1", "sk-ключ", "sk-\x00"])
async def test_a_key_that_would_leave_its_line_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpUpstream("http://127.0.0.1:1", key)

    assert key not in str(caught.value)
