"""Spellings of paths, HEAD, and pages in browsers. Requests of real clients: tests/contract/test_first_calls.py."""

import asyncio
import re
import threading
from functools import partial

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.paths import EXPOSED_HEADERS, ClientPaths, LateApplication
from app.errors import ConfigurationError
from app.settings import Settings, read_settings
from dev import ROOT
from tests.api.serving import Door
from tests.api.test_middleware import LINE, call, wire


async def test_the_answer_to_a_head_has_no_body_under_any_server() -> None:
    async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    sent = await call(ClientPaths(hello, ["/v1/images"]), {"type": "http", "method": "HEAD", "path": "/"})

    assert [message.get("body", b"") for message in sent] == [b"", b""]


async def test_what_is_made_at_its_first_call_is_made_once_and_others_are_served_meanwhile() -> None:
    made: list[str] = []
    served = threading.Event()

    async def name(who: str, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.body", "body": who.encode()})

    def make() -> ASGIApp:
        assert served.wait(3)
        made.append("late")
        return partial(name, "late")

    app = LateApplication(partial(name, "other"), "/console", make)

    async def body(path: str) -> bytes:
        (message,) = await call(app, {"type": "http", "method": "GET", "path": path})
        return bytes(message["body"])

    first = [asyncio.create_task(body(path)) for path in ("/console", "/console/keys")]
    await asyncio.sleep(0)  # Both have begun.
    others = [await body(path) for path in ("/consoles", "/v1/images", "/")]
    served.set()

    assert others == [b"other"] * 3
    assert [await each for each in (*first, asyncio.create_task(body("/console/")))] == [b"late"] * 3
    assert made == ["late"]


@pytest.mark.parametrize("line", [b"OPTIONS /v1/images/generations HTTP/1.1", LINE])
async def test_without_allowed_origins_no_page_may_call(door: Door, line: bytes) -> None:
    answer = await door.talk(wire(line, b"Origin: https://app.example.com", b"Access-Control-Request-Method: POST"))

    assert b"access-control" not in answer.lower()


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", []),
        ("*", ["*"]),
        (" https://App.example.com/ , http://localhost:3000", ["https://app.example.com", "http://localhost:3000"]),
    ],
)
def test_allowed_origins_are_read_in_the_form_that_browsers_send(given: str, origins: list[str]) -> None:
    assert Settings(_env_file=None, cors_origins=given).allowed_origins == origins


@pytest.mark.parametrize(
    "given", ["app.example.com", "https://a.example/page", "*, https://a.example", "https://*.example"]
)
def test_an_origin_that_no_browser_sends_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="IMAGEGATE_CORS_ORIGINS"):
        read_settings(cors_origins=given)


def test_pages_may_read_every_header_of_our_own() -> None:
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "app").rglob("*.py") if file.name != "paths.py")

    ours = set(re.findall(r"""["'](x-imagegate-[a-z-]+|idempotent-replayed)["']""", code))

    assert "x-imagegate-cost" in ours
    assert ours <= set(EXPOSED_HEADERS)
