"""ASGI middleware in front of the routes: spellings of a path that clients send, HEAD, and browser programs (CORS)."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

V1 = "/v1"
CONSOLE = "/console"
METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
PREFLIGHT_S = 3600
"""Seconds for which a browser may remember the answer to a preflight."""
EXPOSED_HEADERS = (
    "location", "retry-after", "x-request-id", "x-should-retry", "openai-processing-ms",
    "x-imagegate-request-id", "x-imagegate-cost", "x-imagegate-currency", "x-imagegate-model",
    "x-imagegate-sandbox", "x-imagegate-ignored", "x-imagegate-response-format",
    "x-imagegate-duplicate", "x-imagegate-duplicate-of", "idempotent-replayed",
    "x-imagegate-spend-remaining", "x-imagegate-images-remaining",
    *(f"x-ratelimit-{kind}-{unit}" for kind in ("limit", "remaining", "reset") for unit in ("requests", "images")),
)  # fmt: skip
"""Headers of an answer that a program in a browser may read."""

_SLASHES = re.compile("//+")
_RAW_SLASHES = re.compile(b"//+")


class ClientPaths:
    """Serve a path also with doubled slashes, with a slash at its end, and each of `paths` without its /v1, as base URLs with a
    slash at the end or without /v1 make them; and HEAD wherever GET is served. `request.state.is_head` spares a route the body.

    Routes check the key themselves, so no spelling of a path passes them by.
    """

    def __init__(self, app: ASGIApp, paths: Iterable[str]):
        self.app = app
        self._names = {path.split("/")[2] for path in paths if path.startswith(f"{V1}/")}

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self.app(scope, receive, send)
        raw: bytes | None = scope.get("raw_path")
        path = _SLASHES.sub("/", scope["path"]).rstrip("/") or "/"
        raw_path = _RAW_SLASHES.sub(b"/", scope["path"].encode() if raw is None else raw).rstrip(b"/") or b"/"
        if path[1:].partition("/")[0] in self._names:
            path, raw_path = V1 + path, V1.encode() + raw_path
        is_head = scope["method"] == "HEAD"
        scope.setdefault("state", {})["is_head"] = is_head
        if is_head:
            send = _without_body(send)
        method = "GET" if is_head else scope["method"]
        return self.app({**scope, "method": method, "path": path, "raw_path": raw_path}, receive, send)


class PublicPath:
    """Serve paths below the path of PUBLIC_URL as if they stood at the top, for a proxy that does not strip it. Other paths are
    served as they are: a proxy stripped it, or a health check asks this process itself."""

    def __init__(self, app: ASGIApp, path: str):
        self.app = app
        self._path = path

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if self._path and scope["type"] == "http" and f"{scope['path']}/".startswith(f"{self._path}/"):
            raw: bytes = scope.get("raw_path") or scope["path"].encode()
            cut = {"path": scope["path"][len(self._path) :] or "/", "raw_path": raw[len(self._path.encode()) :] or b"/"}
            scope = {**scope, **cut}
        return self.app(scope, receive, send)


class LateApplication:
    """Send paths under `prefix` to an application that `make` makes at the first of them, in a thread: it may load modules, which
    takes time, and a gateway that is never asked for these paths needs no memory for them."""

    def __init__(self, app: ASGIApp, prefix: str, make: Callable[[], ASGIApp]):
        self.app = app
        self._prefix = f"{prefix}/"
        self._make = make
        self._making = asyncio.Lock()
        self._made: ASGIApp | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        is_late = scope["type"] == "http" and f"{scope['path']}/".startswith(self._prefix)
        return (self._call_late if is_late else self.app)(scope, receive, send)

    async def _call_late(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        await self._made(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def cors(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Let programs on pages of `origins` (`*` for any page) call the gateway from a browser; without origins nothing changes.

    A preflight needs no key, every header may be sent, and credentials such as cookies are never allowed.
    """
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=("*",),
        allow_private_network=True,
        expose_headers=EXPOSED_HEADERS,
        max_age=PREFLIGHT_S,
    )
