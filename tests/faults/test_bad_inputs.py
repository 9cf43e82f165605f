"""What the whole gateway must refuse, one of each kind through a socket: no call to the relay, no row, no money, never a 5xx."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.control.keys import CreatedKey
from app.core.keys import new_key as key_of_form
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.tables import api_keys
from tests.administration import disable_user, enable_user, revoke_key
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.money.books import GENERATIONS, ask, opened

BODY = json.dumps({"model": "gpt-image-1", "prompt": "a cat"}).encode()


@dataclass(frozen=True, slots=True)
class Door:
    running: Running
    relay: RunningSandbox
    key: CreatedKey

    @asynccontextmanager
    async def untouched(self) -> AsyncIterator[None]:
        """Whatever happens in the block, the relay is not called and nothing is written down."""
        seen, rows = len(self.relay.sandbox.seen), len(await self.running.rows())
        yield
        assert (len(self.relay.sandbox.seen), len(await self.running.rows())) == (seen, rows)
        assert all(counter["held"] == 0 for counter in await self.running.counters())

    async def talk(self, *pieces: bytes, wait_s: float = 5.0) -> bytes:
        """Write piece by piece; what comes back until the gateway closes or `wait_s` has passed."""
        host, port = self.running.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        answer = bytearray()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(wait_s):
                while data := await reader.read(65536):
                    answer += data
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return bytes(answer)


@pytest.fixture(scope="module")
async def door(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay,
        running_gateway(tmp_path_factory.mktemp("door"), relay.base_url, guard_bad_keys_per_minute=100_000) as running,
    ):
        key = await running.key()
        await running.limit("user", "lin", "micros", "month", 1_000_000_000)
        yield Door(running, relay, key)


def assert_refused(answer: httpx2.Response, status: int, code: str) -> None:
    """In OpenAI's shape, to be traced by its id, and not worth another try."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert error["message"]
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-should-retry"] == "false"


# --- keys ------------------------------------------------------------------------------------------------------------


BAD_KEYS = {
    "no header": ("X-Nothing", ""),
    "empty": ("Authorization", ""),
    "bearer alone": ("Authorization", "Bearer"),
    "basic": ("Authorization", "Basic {key}"),
    "no scheme": ("Authorization", "{key}"),
    "two words": ("Authorization", "Bearer {key} {key}"),
    "a tab": ("Authorization", "Bearer\t{key}"),
    "quoted": ("Authorization", 'Bearer "{key}"'),
    "4 KB": ("Authorization", "Bearer " + "a" * 4096),
    "not latin": ("Authorization", "Bearer 图ÿ"),
    "x-api-key": ("x-api-key", "{key}"),
    "api-key": ("api-key", "{key}"),
    "in a cookie": ("Cookie", "api_key={key}"),
    "sql": ("Authorization", "Bearer sk-ig-' OR 1=1 --"),
    "unknown": ("Authorization", "Bearer {another}"),
    "a typo": ("Authorization", "Bearer {key}a"),
    "cut": ("Authorization", "Bearer {key:.50}"),
    "id of one, secret of another": ("Authorization", "Bearer {mixed}"),
}


def bad_header(given: str, key: str) -> dict[str, bytes]:
    name, value = BAD_KEYS[given]
    another = key_of_form().secret
    return {name: value.format(key=key, another=another, mixed=key[:18] + another[18:]).encode()}


@pytest.mark.parametrize("given", BAD_KEYS)
@pytest.mark.parametrize("path", [GENERATIONS, "/v1/models"])
async def test_whatever_is_not_a_bearer_of_a_known_key_is_401(door: Door, given: str, path: str) -> None:
    headers: Any = bad_header(given, door.key.key)

    async with door.untouched(), opened(door.running.url) as client:
        if path == GENERATIONS:
            answer = await client.post(path, content=BODY, headers=headers | {"Content-Type": b"application/json"})
        else:
            answer = await client.get(path, headers=headers)

    assert_refused(answer, 401, "invalid_api_key")
    assert door.key.key not in answer.text


@pytest.mark.parametrize("name", ["api_key", "key", "access_token", "token"])
async def test_a_key_in_the_address_authenticates_nobody(door: Door, name: str) -> None:
    async with door.untouched(), opened(door.running.url) as client:
        answer = await client.get("/v1/models", params={name: door.key.key})

    assert_refused(answer, 401, "invalid_api_key")


async def test_two_authorization_headers_are_none(door: Door) -> None:
    line = f"Authorization: Bearer {door.key.key}\r\n"

    async with door.untouched():
        answer = await door.talk(
            f"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line}{line}\r\n".encode()
        )

    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
async def test_the_scheme_is_read_in_any_case(door: Door, scheme: str) -> None:
    async with opened(door.running.url) as client:
        answer = await client.get("/v1/models", headers={"Authorization": f"{scheme} {door.key.key}"})

    assert answer.status_code == 200


async def test_a_bad_key_is_refused_before_its_body_is_asked_for(door: Door) -> None:
    head = "POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n"

    async with door.untouched():
        waiting = await door.talk(f"{head}Expect: 100-continue\r\nAuthorization: Bearer nobody\r\n\r\n".encode())
        sending = await door.talk(f"{head}\r\n".encode(), b"x" * 1000)

    for answer in (waiting, sending):
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"invalid_api_key" in answer
        assert b"100 Continue" not in answer


async def test_keys_end_within_a_second_when_they_are_revoked_expire_or_lose_their_owner(door: Door) -> None:
    running, database = door.running, door.running.database
    revoked, orphaned = await running.key("mei"), await running.key("bo")
    expiring = await running.key("an", expires_in_s=43_200)
    async with opened(running.url) as client:
        for key in (revoked, orphaned, expiring):
            assert (await ask_as(client, key)).status_code == 200
        await revoke_key(database, revoked.id)
        await disable_user(database, "bo")
        async with database.write() as connection:
            gone = sa.update(api_keys).where(api_keys.c.id == expiring.id).values(expires_at_ms=await database.now_ms())
            await connection.execute(gone)
        await asyncio.sleep(1)

        async with door.untouched():
            answers = [await ask_as(client, key) for key in (revoked, orphaned, expiring)]
        await enable_user(database, "bo")
        await asyncio.sleep(0.6)
        back = await ask_as(client, orphaned)

    for answer in answers:
        assert_refused(answer, 401, "invalid_api_key")
    assert back.status_code == 200


async def test_a_key_revoked_this_instant_buys_nothing(door: Door) -> None:
    """Within the half second for which keys are remembered: the reservation asks again."""
    key = await door.running.key("qi")
    async with opened(door.running.url) as client:
        assert (await ask_as(client, key)).status_code == 200
        await revoke_key(door.running.database, key.id)
        async with door.untouched():
            answer = await ask_as(client, key)

    assert_refused(answer, 401, "invalid_api_key")


async def ask_as(client: httpx2.AsyncClient, key: CreatedKey) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {key.key}"}
    return await client.post(GENERATIONS, json={"model": "gpt-image-1", "prompt": "a cat"}, headers=headers)


async def test_a_model_the_key_may_not_use_is_403_and_not_listed(door: Door) -> None:
    key = await door.running.key("lin", models=["seedream-3.0"])

    async with door.untouched(), opened(door.running.url, key.key) as client:
        answer = await ask(client)
        listed = await client.get("/v1/models")
        shown = await client.get("/v1/models/gpt-image-1")

    assert_refused(answer, 403, "model_not_allowed")
    assert answer.json()["error"]["param"] == "model"
    assert [model["id"] for model in listed.json()["data"]] == ["seedream-3.0"]
    assert_refused(shown, 404, "model_not_found")


async def test_the_catalog_lists_what_has_a_price_and_asks_nobody(door: Door) -> None:
    async with door.untouched(), opened(door.running.url, door.key.key) as client:
        for path in ("/v1/models", "/models"):
            answer = await client.get(path)
            models = [model["id"] for model in answer.json()["data"]]
            assert sorted(models) == ["flux-kontext-max", "flux-kontext-pro", "gpt-image-1", "seedream-3.0"]
        assert (await client.get("/v1/models/gpt-image-1")).json()["object"] == "model"
        assert_refused(await client.get("/v1/models/imagen4"), 404, "model_not_found")


# --- paths, methods, queries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1//images/generations",
        "/v1/images/%2e%2e/generations",
        "/v1/images%2fgenerations",
        "/v1/images/generations%00",
        "/v1/images/generations;jsessionid=1",
        "/V1/Images/Generations",
        "/v1\\images\\generations",
        "/v1/images/generations/",
        "/v1/v1/images/generations",
        "/v1/chat/completions",
        "/v2/images/generations",
        "/",
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


# --- bodies: one of each kind; tests/api has them all ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        (None, BODY, 415, "unsupported_media_type"),
        ("application/x-www-form-urlencoded", b"prompt=a+cat", 415, "unsupported_media_type"),
        ("multipart/form-data; boundary=x", b"--x--\r\n", 415, "unsupported_media_type"),
        ("application/json", b"", 400, "invalid_json"),
        ("application/json", BODY + BODY, 400, "invalid_json"),
        ("application/json", BODY[:-1], 400, "invalid_json"),
        ("application/json", b"[]", 400, "invalid_type"),
        ("application/json", b"[" * 100_000, 400, "invalid_json"),
        ("application/json", b'{"prompt": "a", "n": NaN}', 400, "invalid_json"),
        ("application/json", b'{"prompt": "a", "n": 1e400}', 400, None),
        ("application/json", b'{"prompt": "\\ud800"}', 400, None),
        ("application/json", b'{"prompt": "a", "n": 1, "n": 10}', 400, "duplicate_key"),
        ("application/json", b'{"prompt": "a", "N": 10}', 400, "invalid_value"),
        ("application/json", b'{"prompt": "a", "n": true}', 400, "invalid_type"),
        ("application/json", b'{"prompt": "a", "n": "2"}', 400, "invalid_type"),
        ("application/json", b'{"prompt": "a", "n": 0}', 400, "invalid_value"),
        ("application/json", b'{"prompt": "a", "n": 11}', 400, "invalid_value"),
        ("application/json", b'{"prompt": "a", "n": -1000000000000000000000000000000}', 400, "invalid_value"),
        ("application/json", b"{}", 400, "missing_required_parameter"),
        ("application/json", b'{"prompt": "a", "stream": "yes"}', 400, "invalid_type"),
        ("application/json", b'{"prompt": "a", "response_format": "html"}', 400, "invalid_value"),
        ("application/json", b'{"prompt": "a", "model": "../etc"}', 400, "invalid_value"),
        ("application/json", b'{"prompt": "' + b"a" * 32_001 + b'"}', 400, "string_above_max_length"),
        ("application/json", b'{"prompt": "' + b"a" * 1_100_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_body_that_is_not_a_sound_request_buys_nothing(
    door: Door, content_type: str | None, body: bytes, status: int, code: str | None
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    async with door.untouched(), opened(door.running.url, door.key.key) as client:
        answer = await client.post(GENERATIONS, content=body, headers=headers)

    assert_refused(answer, status, code or answer.json()["error"]["code"])


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
        answer = await door.talk("\r\n".join(lines).encode() + b"\r\n\r\n" + BODY, wait_s=1)

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
