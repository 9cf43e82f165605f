import asyncio
import json
import re

import pytest
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from app.api.errors import error_response
from app.api.middleware import wrap
from app.core.ids import new_id, new_request_id
from app.errors import InsufficientQuota, InvalidValue, RateLimited
from tests.api.serving import Door

BODY = b'{"prompt": "a cat"}'
LINE = b"POST /v1/images/generations HTTP/1.1"


def wire(
    line: bytes = LINE, *headers: bytes, body: bytes = BODY, host: bytes | None = b"Host: x", length: bool = True
) -> bytes:
    lines = [line, *([host] if host else []), b"Content-Type: application/json", b"Connection: close"]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n" + body


CHUNKED = b"13\r\n" + BODY + b"\r\n0\r\n\r\n"

# What llhttp refuses itself: a bare 400 of uvicorn's, text/plain, without a request id, and the connection closes.
REFUSED_BY_THE_PARSER = {
    "Content-Length twice": wire(LINE, b"Content-Length: 5"),
    "Content-Length twice, the same": wire(LINE, b"Content-Length: 19"),
    "unknown Transfer-Encoding": wire(LINE, b"Transfer-Encoding: xchunked", length=False),
    "chunked not last": wire(LINE, b"Transfer-Encoding: chunked, identity", length=False),
    "both lengths": wire(LINE, b"Transfer-Encoding: chunked", body=CHUNKED),
    "space before the colon": wire(LINE, b"X-A : b"),
    "folded header": wire(LINE, b"X-A: b\r\n c"),
    "NUL in a header": wire(LINE, b"X-A: b\0c"),
    "Content-Length with a plus": wire(LINE, b"Content-Length: +19", length=False),
    "negative Content-Length": wire(LINE, b"Content-Length: -1", length=False),
    "unknown version": wire(b"POST /v1/images/generations HTTP/3.7"),
    "unknown method": wire(b"FOO /v1/images/generations HTTP/1.1"),
    "CONNECT": b"CONNECT evil:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "bare line feeds": wire().replace(b"\r\n", b"\n"),
    "raw non-ASCII path": wire("POST /v1/é HTTP/1.1".encode()),
    "TLS on the plain port": b"\x16\x03\x01\x02\x00\x01\x00",
}


@pytest.mark.parametrize("data", REFUSED_BY_THE_PARSER.values(), ids=REFUSED_BY_THE_PARSER.keys())
async def test_a_frame_that_no_parser_should_read_is_a_bare_400(door: Door, data: bytes) -> None:
    answer = await door.talk(data)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert door.accepted == []


REFUSED_BY_US: dict[str, tuple[bytes, int, str]] = {
    "two codings": (
        wire(LINE, b"Transfer-Encoding: gzip, chunked", body=CHUNKED, length=False),
        400,
        "invalid_request",
    ),
    "no Host": (wire(host=None), 400, "invalid_request"),
    "a Host with a path": (wire(host=b"Host: x/admin?"), 400, "invalid_request"),
    "an empty Host": (wire(host=b"Host:"), 400, "invalid_request"),
    "two Hosts": (wire(LINE, b"Host: y"), 400, "invalid_request"),
    "64 KB of headers": (wire(LINE, b"X-A: " + b"a" * 65_536), 431, "headers_too_large"),
    "5,000 headers": (wire(LINE, *[b"X-%d: a" % number for number in range(5000)]), 431, "headers_too_large"),
    "a long target": (wire(b"GET /" + b"a" * 9000 + b" HTTP/1.1", body=b"", length=False), 414, "uri_too_long"),
    "a long query": (wire(b"GET /?" + b"a" * 9000 + b" HTTP/1.1", body=b"", length=False), 414, "uri_too_long"),
    "TRACE": (wire(b"TRACE / HTTP/1.1", body=b"", length=False), 405, "method_not_allowed"),
    "PROPFIND": (wire(b"PROPFIND / HTTP/1.1"), 405, "method_not_allowed"),
    "GET on a POST route": (wire(b"GET /v1/images/edits HTTP/1.1", body=b"", length=False), 405, "method_not_allowed"),
    **{
        path: (wire(f"POST {path} HTTP/1.1".encode()), 404, "unknown_url")
        for path in (
            "/v1/images/%2e%2e/images/generations",
            "/v1/images/../images/generations",
            "/v1/images%2fgenerations",
            "/v1/images%5Cgenerations",
            "/v1/images/generations%00",
            "/v1/images/generations%0a",
            "/v1/images/generations;jsessionid=1",
            "/V1/Images/Generations",
            "/v1\\images\\generations",
            "/nowhere",
        )
    },
}


@pytest.mark.parametrize(("data", "status", "code"), REFUSED_BY_US.values(), ids=REFUSED_BY_US.keys())
async def test_a_frame_that_reaches_us_is_refused_in_openai_s_words(
    door: Door, data: bytes, status: int, code: str
) -> None:
    answer = await door.talk(data)

    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    error = json.loads(text)["error"]
    assert (error["code"], error["type"], error["param"]) == (code, "invalid_request_error", None)
    assert re.search(rb"\r\nx-request-id: req_[0-9a-f]{28}\r\n", head)
    assert b"\r\nx-should-retry: false" in head
    assert (b"\r\nallow: " in head.lower()) == (status == 405)
    assert door.accepted == []


@pytest.mark.parametrize(
    "data",
    [
        wire(),
        wire(b"POST /v1/images/generations?model=x&stream=true&n=9&api_base=http://evil HTTP/1.1"),
        wire(b"POST //v1//images/generations/ HTTP/1.1"),
        wire(b"POST /images/generations// HTTP/1.1"),
        wire(LINE, b"X-HTTP-Method-Override: DELETE"),
        wire(LINE, b"X-Request-Id: mine"),
        wire(b"POST http://evil.example/v1/images/generations HTTP/1.1"),
        wire(b"POST /v1/images/generations HTTP/1.0", host=None),
        wire(LINE, b"Transfer-Encoding: chunked", body=CHUNKED, length=False),
        wire(host=b"Host: gateway_1.local:8000"),
        wire(host=b"Host: [::1]:8000"),
        wire(LINE, b"X-A: \xff\xfe"),
    ],
    ids=range(12),
)
async def test_an_honest_frame_is_served_and_nothing_beside_the_body_changes_it(door: Door, data: bytes) -> None:
    answer = await door.talk(data)

    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert b"mine" not in answer
    assert re.search(rb"\r\nopenai-processing-ms: [0-9]+\r\n", answer)
    (wanted,) = door.accepted
    assert (wanted.model, wanted.n, wanted.stream) == ("gpt-image-1", 1, False)
    assert wanted.fields == {"model": "gpt-image-1", "prompt": "a cat"}


async def test_a_pipelined_second_request_is_a_request_of_its_own(door: Door) -> None:
    first = wire().replace(b"Connection: close\r\n", b"")

    answer = await door.talk(first + wire())

    ids = re.findall(rb"x-request-id: (req_[0-9a-f]+)", answer)
    assert len(set(ids)) == 2
    assert len(door.accepted) == 2


async def test_a_refusal_of_an_upload_is_seen_although_the_client_is_still_sending(door: Door) -> None:
    head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20000000\r\n\r\n"

    answer = await door.talk(head, *[bytes(1_000_000)] * 20)

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer


async def test_a_refusal_does_not_wait_for_a_body_that_never_comes_after_expect(door: Door) -> None:
    answer = await door.talk(
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_a_bug_answers_500_without_details_and_is_logged_under_its_id(door: Door) -> None:
    with capture_logs() as lines:
        answer = await door.talk(wire(b"GET /fail HTTP/1.1", body=b"", length=False))

    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 ")
    assert json.loads(text)["error"]["code"] == "internal_error"
    assert b"secret detail" not in answer
    assert b"\r\nx-should-retry: false" in head
    failure, access = lines
    assert head.count(failure["request_id"].encode()) == 1
    assert (access["status"], access["path"]) == (500, "/fail")


async def test_a_query_that_does_not_validate_is_a_400_in_openai_s_words(door: Door) -> None:
    for query, code in (("", "missing_required_parameter"), ("?limit=x", "invalid_type")):
        answer = await door.talk(wire(f"GET /typed{query} HTTP/1.1".encode(), body=b"", length=False))

        assert answer.startswith(b"HTTP/1.1 400 ")
        error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
        assert (error["code"], error["param"]) == (code, "limit")


async def test_the_access_log_has_one_line_without_secrets(door: Door) -> None:
    with capture_logs() as lines:
        await door.talk(
            wire(b"POST /v1/images/generations?key=canary HTTP/1.1", b"Authorization: Bearer canary", b"X-A: canary")
        )

    (line,) = lines
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/images/generations", 200)
    assert line.keys() == {"event", "log_level", "method", "path", "status", "ms", "request_id", "key_id", "client"}
    assert "canary" not in repr(line)
    assert "a cat" not in repr(line)


async def call(app: object, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)  # type: ignore[operator]
    return sent


async def test_an_answer_that_has_begun_breaks_off_when_its_route_fails() -> None:
    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"own")]})
        raise RuntimeError("half way")

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(b"host", b"x")],
        "state": {"key_id": "key_1"},
    }

    with capture_logs() as lines, pytest.raises(RuntimeError, match="half way"):
        await call(wrap(breaks), scope)

    assert (lines[-1]["status"], lines[-1]["key_id"]) == (200, "key_1")


async def test_a_websocket_is_closed_and_other_scopes_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    assert (await call(wrap(app), {"type": "websocket"}))[0]["type"] == "websocket.close"
    await call(wrap(app), {"type": "lifespan"})

    assert seen == ["lifespan"]


def test_only_what_waiting_cures_may_be_tried_again() -> None:
    retryable = error_response(RateLimited("slow down", retry_after_s=7))
    final = error_response(InsufficientQuota("spent", headers={"x-ratelimit-reset-images": "5s"}))

    assert (retryable.headers["retry-after"], "x-should-retry" in retryable.headers) == ("7", False)
    assert (final.headers["x-should-retry"], "retry-after" in final.headers) == ("false", False)
    assert final.headers["x-ratelimit-reset-images"] == "5s"


def test_a_name_that_is_no_text_still_makes_a_readable_error() -> None:
    body = bytes(error_response(InvalidValue("bad", param="\ud800帽")).body)

    assert json.loads(body)["error"]["param"] == "\ud800帽"


def test_ids_sort_by_time_and_do_not_repeat() -> None:
    ids = [new_request_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert [each[:16] for each in ids] == sorted(each[:16] for each in ids)
    assert re.fullmatch(r"user-[0-9a-z]{24}", new_id("user-"))
    assert len(new_id("proj_", 8)) == 13
