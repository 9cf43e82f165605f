"""What the whole gateway must refuse, one of each kind through a socket: no call to the relay, no row, no money, never a 5xx."""

import pytest

from tests.faults.door import BODY, Door, assert_refused
from tests.gateways import RELAY_KEY
from tests.money.books import GENERATIONS, opened


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/%2e%2e/generations",
        "/v1/images%2fgenerations",
        "/v1/images/generations%00",
        "/v1/images/generations;jsessionid=1",
        "/V1/Images/Generations",
        "/v1\\images\\generations",
        "/v1/v1/images/generations",
        "/v1/chat/completions",
        "/v2/images/generations",
    ],
)
async def test_an_odd_path_is_no_path_of_ours(door: Door, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.key.key}\r\nConnection: close\r\n"
    rest = f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"

    async with door.untouched():
        answer = await door.talk((head + rest).encode() + BODY)

    assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]
    assert b'"code": "unknown_url"' in answer or b'"code":"unknown_url"' in answer
    assert b"x-request-id: req_" in answer


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_a_method_a_route_does_not_take_is_405_and_says_which_it_takes(door: Door, method: str) -> None:
    async with door.untouched(), opened(door.running.url, door.key.key) as client:
        answer = await client.request(method, GENERATIONS)

    assert_refused(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "CONNECT"])
async def test_methods_nobody_here_speaks_are_refused(door: Door, method: str) -> None:
    async with door.untouched():
        answer = await door.talk(f"{method} /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    assert answer[:13] in (b"HTTP/1.1 405 ", b"HTTP/1.1 400 ")


async def test_another_method_in_a_header_changes_nothing(door: Door) -> None:
    async with door.untouched(), opened(door.running.url, door.key.key) as client:
        answer = await client.get(
            "/v1/models", headers={"X-HTTP-Method-Override": "POST", "X-Method-Override": "DELETE"}
        )

    assert (answer.status_code, answer.json()["object"]) == (200, "list")


async def test_query_parameters_change_nothing(door: Door) -> None:
    query = {"model": "flux-kontext-max", "stream": "true", "n": "9", "api_base": "http://127.0.0.1:9", "prompt": "dog"}

    async with opened(door.running.url, door.key.key) as client:
        answer = await client.post(GENERATIONS, params=query, json={"model": "gpt-image-1", "prompt": "a cat"})

    assert (answer.status_code, answer.headers["x-imagegate-cost"]) == (200, "1.00")
    seen = door.relay.sandbox.seen[-1]
    assert (seen.query, seen.fields["model"], seen.fields["prompt"]) == ("", "gpt-image-1", "a cat")


async def test_nothing_of_the_callers_head_travels_and_nothing_of_the_relays_comes_back(door: Door) -> None:
    tell_tale = {
        "X-Forwarded-For": "10.1.2.3",
        "Cookie": "a=b",
        "X-Secret": "s",
        "User-Agent": "spy/1",
        "OpenAI-Beta": "x",
    }

    async with opened(door.running.url, door.key.key) as client:
        answer = await client.post(GENERATIONS, json={"prompt": "a cat", "api_base": "http://x"}, headers=tell_tale)

    seen = door.relay.sandbox.seen[-1]
    assert set(seen.headers) == {
        "host", "authorization", "accept", "accept-encoding", "content-type", "content-length", "user-agent", "x-request-id"
    }  # fmt: skip
    assert seen.headers["authorization"] == f"Bearer {RELAY_KEY}"
    assert seen.headers["user-agent"].startswith("imagegate/")
    assert "api_base" not in seen.fields
    assert not {"server", "set-cookie", "location", "x-oneapi-request-id", "x-new-api-version"} & set(answer.headers)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        ("application/x-www-form-urlencoded", b"prompt=a+cat", 415, "unsupported_media_type"),
        ("application/json", b"", 400, "invalid_json"),
        ("application/json", b"[]", 400, "invalid_type"),
        ("application/json", b'{"prompt": "a", "n": 1, "n": 10}', 400, "duplicate_key"),
        ("application/json", b'{"prompt": "a", "N": 10}', 400, "invalid_value"),
        ("application/json", b'{"prompt": "a", "n": 11}', 400, "invalid_value"),
        ("application/json", b"{}", 400, "missing_required_parameter"),
        ("application/json", b'{"prompt": "' + b"a" * 32_001 + b'"}', 400, "string_above_max_length"),
        ("application/json", b'{"prompt": "' + b"a" * 1_100_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_not_a_sound_request_buys_nothing(
    door: Door, content_type: str, body: bytes, status: int, code: str
) -> None:
    async with door.untouched(), opened(door.running.url, door.key.key) as client:
        answer = await client.post(GENERATIONS, content=body, headers={"Content-Type": content_type})

    assert_refused(answer, status, code)


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: xchunked"],
        ["Content-Length: +14"],
        ["Content-Length: -1"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["X-A: b\0c"],
        ["Host: y"],
        ["Host : y"],
    ],
)
async def test_a_frame_no_honest_client_sends_is_400(door: Door, headers: list[str]) -> None:
    lines = [f"POST {GENERATIONS} HTTP/1.1", "Host: x", f"Authorization: Bearer {door.key.key}", *headers]

    async with door.untouched():
        answer = await door.talk("\r\n".join(lines).encode() + b"\r\n\r\n" + BODY)

    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]


async def test_too_many_or_too_long_headers_are_431(door: Door) -> None:
    async with door.untouched(), opened(door.running.url, door.key.key) as client:
        many = await client.get("/v1/models", headers={f"X-{number}": "a" for number in range(200)})
        long = await client.get("/v1/models", headers={"X-Long": "a" * 40_000})

    assert_refused(many, 431, "headers_too_large")
    assert_refused(long, 431, "headers_too_large")


async def test_a_second_request_on_the_heels_of_the_first_is_one_of_its_own(door: Door) -> None:
    first = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.key.key}\r\n\r\n"
    second = "GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    async with door.untouched():
        answer = await door.talk((first + second).encode())

    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert answer.count(b"HTTP/1.1 401 ") == 1
