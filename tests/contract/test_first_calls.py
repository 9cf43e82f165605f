"""First calls of clients in the wild with their defaults, over a socket, on a new book with an alias for `gpt-image-*`.

Those in `recorded/` are sent byte by byte as test_real_clients.py recorded them; the others are rebuilt from what was seen.
"""

import asyncio
import base64
import http.client
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import requests
from PIL import Image

from app.control.model_aliases import AliasChange, set_alias
from app.sandbox import SandboxOptions, running_sandbox
from tests.contract.recorder import HOST, KEY, RECORDED, kept
from tests.gateways import RELAY_KEY, Running, running_gateway

ORIGIN = "https://app.example.com"
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
BODY = json.dumps({"model": "gpt-image-1", "prompt": "a lighthouse", "n": 1, "size": "1024x1024"}).encode()


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, kind)
    return file.getvalue()


PNG = picture("png")


@dataclass(frozen=True, slots=True)
class Wild:
    """A gateway and a key without limits."""

    running: Running
    key: str

    async def talk(self, method: str, path: str, *headers: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        """Send a request that is put together here; status, headers and body of the answer."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {HOST.decode()}",
            f"Authorization: Bearer {KEY.decode()}",
            *headers,
        ]
        length = [f"Content-Length: {len(body)}"] if body else []
        return await self.send("\r\n".join([*lines, *length]).encode() + b"\r\n\r\n" + body)

    async def send(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes with true host and key, read to the end; status, headers and body of the answer."""
        address = self.running.url.removeprefix("http://")
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request.replace(HOST, address.encode()).replace(KEY, self.key.encode()))
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            named = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body_bytes = 0 if request.startswith(b"HEAD ") else int(named["content-length"])
            return int(head[0].split()[1]), named, await reader.readexactly(body_bytes)
        finally:
            writer.close()


@pytest.fixture(scope="module")
async def wild(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Wild]:
    folder: Path = tmp_path_factory.mktemp("wild")
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, "C", latency_scale=0)) as relay,
        running_gateway(folder, relay.base_url, cors_origins=f"{ORIGIN}, http://localhost:3000/") as running,
    ):
        await set_alias(running.database, AliasChange("gpt-image-*", "gpt-image-1"))
        running.gateway.control_data.expire()
        yield Wild(running, (await running.key("wild")).key)


def java_form() -> bytes:
    """Write a form as Apache HttpClient 4.5 does, and REST Assured with it: each text in ISO-8859-1, and labelled so."""
    text = "Content-Type: text/plain; charset=ISO-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n"
    fields = {"model": "gpt-image-1", "prompt": "ein Hut, grün"}
    parts = [
        f'--b7\r\nContent-Disposition: form-data; name="{name}"\r\n{text}\r\n{value}\r\n'.encode("latin-1")
        for name, value in fields.items()
    ]
    binary = "Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    file = f'--b7\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n{binary}'
    return b"".join(parts) + file.encode() + PNG + b"\r\n--b7--\r\n"


JSON, H2C = (
    "Content-Type: application/json",
    ("Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
)
WANT_AN_ADDRESS = {"agno-dalle", "crewai", "langchain-js", "langchain-python", "llamaindex"}
FIRST_CALLS: dict[str, tuple[str, tuple[str, ...], bytes]] = {
    "n8n": (EDITS, ("Content-Type: multipart/form-data; boundary=b7; charset=ISO-8859-1",), java_form()),
    "Apache HttpClient": (EDITS, ("Content-Type: multipart/form-data; charset=ISO-8859-1; boundary=b7",), java_form()),
    "REST Assured": (EDITS, ("Content-Type: multipart/form-data;boundary=b7;charset=ISO-8859-1",), java_form()),
    "Ktor": (GENERATIONS, (*H2C, "Connection: Upgrade, HTTP2-Settings", "Content-Type: application/json"), BODY),
    "nginx for websockets": (GENERATIONS, ("Connection: upgrade", JSON), BODY),
    "http.client": (GENERATIONS, ("Accept-Encoding: identity",), BODY),
    "requests(data=json.dumps())": (GENERATIONS, ("Accept-Encoding: gzip, deflate", "Accept: */*"), BODY),
    "curl -d": (GENERATIONS, ("Accept: */*", "Content-Type: application/x-www-form-urlencoded"), BODY),
    "base URL with a slash": ("//v1/images/generations", (JSON,), BODY),
    "path with a slash": ("/v1/images/generations/", (JSON,), BODY),
    "base URL without v1, with a slash": ("//images/generations", (JSON,), BODY),
    "a browser": (GENERATIONS, (JSON, f"Origin: {ORIGIN}"), BODY),
}


@pytest.mark.parametrize("client", FIRST_CALLS)
async def test_the_first_call_of_a_client_gets_a_picture(wild: Wild, client: str) -> None:
    path, headers, body = FIRST_CALLS[client]

    status, _, answer = await wild.talk("POST", path, *headers, body=body)

    assert status == 200, answer
    assert base64.b64decode(json.loads(answer)["data"][0]["b64_json"])


@pytest.mark.parametrize("client", sorted(file.stem for file in RECORDED.iterdir()))
async def test_a_recorded_call_gets_a_picture_or_is_told_what_is_served(wild: Wild, client: str) -> None:
    request = kept(client)

    status, _, answer = await wild.send(request)

    if not request.startswith(f"POST {GENERATIONS} ".encode()):
        assert status == 404 and b"POST /v1/images/generations" in answer
        return
    assert status == 200, answer
    [item] = json.loads(answer)["data"]
    path = item.get("url", "").removeprefix(wild.running.url)
    content = (await wild.talk("GET", path))[2] if path else base64.b64decode(item["b64_json"])
    assert content.startswith(b"\x89PNG")
    assert bool(path) == (client in WANT_AN_ADDRESS)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/models", "/models", "//v1/models/", "/", "/openapi.json"])
async def test_head_answers_as_get_without_a_body(wild: Wild, path: str) -> None:
    status, headers, _ = await wild.talk("HEAD", path)
    got_status, got_headers, got = await wild.talk("GET", path)

    assert (status, got_status) == (200, 200)
    assert headers["content-type"] == got_headers["content-type"] == "application/json"
    assert got


async def test_the_root_names_the_endpoints(wild: Wild) -> None:
    answer = json.loads((await wild.talk("GET", "/"))[2])

    assert "POST /v1/images/generations" in answer["endpoints"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1beta/models/imagen:predict",
        "/openai/deployments/gpt-image-1/images/generations?api-version=2025-04-01-preview",
    ],
)
async def test_other_apis_are_told_what_is_served(wild: Wild, path: str) -> None:
    status, headers, answer = await wild.talk("POST", path, JSON, body=BODY)

    error = json.loads(answer)["error"]
    assert (status, error["code"], error["type"]) == (404, "unknown_url", "invalid_request_error")
    assert "POST /v1/images/generations" in error["message"] and "Check the path" not in error["message"]
    assert headers["x-should-retry"] == "false"


async def preflight(wild: Wild, origin: str) -> httpx2.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-stainless-os"}
    asked["Access-Control-Request-Private-Network"] = "true"
    async with httpx2.AsyncClient(base_url=wild.running.url, timeout=60) as http:
        return await http.options(GENERATIONS, headers={"Origin": origin, **asked})


@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000"])
async def test_a_preflight_of_an_allowed_page_needs_no_key(wild: Wild, origin: str) -> None:
    answer = await preflight(wild, origin)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_preflight_of_another_page_allows_nothing(wild: Wild) -> None:
    answer = await preflight(wild, "https://evil.example")

    assert answer.status_code == 400
    assert "access-control-allow-origin" not in answer.headers


async def test_a_page_may_read_answers_and_refusals_with_their_headers(wild: Wild) -> None:
    for key in (wild.key, "sk-wrong"):
        async with httpx2.AsyncClient(base_url=wild.running.url, timeout=60) as http:
            headers = {"Origin": ORIGIN, "Authorization": f"Bearer {key}"}
            answer = await http.post(GENERATIONS, json={"prompt": "for a page"}, headers=headers)
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert {"x-request-id", "x-imagegate-cost"} <= {*answer.headers["access-control-expose-headers"].split(", ")}


# --- the five calls of the relay's own documentation, with the same libraries, fields and headers --------------------


def documented_generation(url: str, key: str) -> Any:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    fields: dict[str, Any] = {"prompt": "一座灯塔", "n": 1, "model": "gpt-image-1", "size": "1024x1536", "seed": -1}
    return requests.post(url + GENERATIONS, json=fields, headers=headers, timeout=30).json()


def documented_seedream(url: str, key: str) -> Any:
    fields = {"prompt": "漫画风格", "model": "seedream-3.0", "size": "1664x936", "response_format": "b64_json"}
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", GENERATIONS, json.dumps(fields), headers={"Authorization": f"Bearer {key}"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def documented_edit(name: str, file: tuple[str, bytes, str], fields: dict[str, str], url: str, key: str) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    return requests.post(url + EDITS, headers=headers, files=[(name, file)], data=fields, timeout=30).json()


JPEG_FILE, PNG_FILE = ("原图.jpg", picture("jpeg"), "image/jpeg"), ("nezha.png", PNG, "image/png")
FLUX = {"model": "flux-kontext-max", "prompt": "给沙漠照片添加绿洲和彩虹", "quality": "high"}
DOCUMENTED = {
    "generation": documented_generation,
    "seedream": documented_seedream,
    "edit": lambda url, key: documented_edit("image", JPEG_FILE, {"prompt": "给哪吒戴上帽子"}, url, key),
    "flux": lambda url, key: documented_edit("image[]", JPEG_FILE, FLUX, url, key),
    "one picture": lambda url, key: documented_edit("image", PNG_FILE, {"prompt": "风格保持不变"}, url, key),
}


@pytest.mark.parametrize("name", DOCUMENTED)
async def test_the_calls_of_the_relay_s_documentation_get_a_picture(wild: Wild, name: str) -> None:
    answer = await asyncio.to_thread(DOCUMENTED[name], wild.running.url, wild.key)

    item = answer["data"][0]
    assert item.get("b64_json") or item.get("url"), answer
