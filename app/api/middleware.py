"""ASGI middleware for every request, outermost first: RequestId, AccessLog, CORS, FrameGuard, UnreadBody, InternalErrors.

What has nothing to do after the next layer returns its awaitable: a coroutine of its own would stay in memory as long as the
request waits, which may be minutes.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import error_response, internal_error_response
from app.api.paths import METHODS, cors
from app.core.ids import new_request_id
from app.errors import BadRequest, GatewayError, HeadersTooLarge, MethodNotAllowed, UnknownUrl, UriTooLong

log = structlog.get_logger()

Headers = list[tuple[bytes, bytes]]

TARGET_BYTES_MAX = 8 * 1024
HEADERS_BYTES_MAX = 32 * 1024
HEADERS_MAX = 100

# Parts of a path that a proxy may read differently: dotted segments, parameters, backslashes, control characters and encoded
# slashes. Doubled slashes are served: see `app.api.paths`.
_ODD_PATH = re.compile(rb"\\|;|\.\.|%(?:[01]|2e|2f|5c|7f)", re.IGNORECASE)
_MODEL_PATH = re.compile(rb"(?:/v1)?/(?:models|organization/projects/[^/]+/rate_limits)/[^/]+\Z")
# The token of an invitation is a secret as long as it was not used.
_ONE_TIME_LINK = re.compile(rb"(/console/+invite/+)[^/]+")
_CHECKED = (b"host", b"content-length", b"transfer-encoding")
_HOST = re.compile(rb"(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?", re.IGNORECASE)


class RequestId:
    """Set `scope["state"]["request_id"]`, and the response headers `x-request-id` and `openai-processing-ms`.

    A client's own id is ignored; headers set by the application stay. Once `is_draining`, each answer closes its connection, so
    that the client's next request reaches another process.
    """

    def __init__(self, app: ASGIApp, is_draining: Callable[[], bool]):
        self.app = app
        self.is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = new_request_id()
        started_s = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: Headers = list(message.get("headers", []))
                processing_ms = int((time.perf_counter() - started_s) * 1000)
                _set_default(headers, b"x-request-id", request_id.encode())
                _set_default(headers, b"openai-processing-ms", str(processing_ms).encode())
                if self.is_draining():
                    _set_default(headers, b"connection", b"close")
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_id)


class AccessLog:
    """Log one line at the end of each request, with the client's address, without query, headers, prompt and key."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 500  # The server's answer when the application sends none.

        async def send_and_watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_watch)
        finally:
            state: dict[str, Any] = scope.get("state", {})
            log.info(
                "request",
                method=scope["method"],
                path=_ONE_TIME_LINK.sub(rb"\1...", _raw_path(scope)[:512]).decode("latin-1"),
                status=status,
                ms=round((time.perf_counter() - started_s) * 1000, 1),
                client=(scope.get("client") or ("unknown",))[0],
                request_id=state.get("request_id"),
                key_id=state.get("key_id"),
            )


class FrameGuard:
    """Refuse websockets, ambiguous or oversized headers, and malformed targets. Malformed HTTP is refused by the server."""

    def __init__(self, app: ASGIApp):
        self.app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "websocket":
            return send({"type": "websocket.close", "code": 1002})
        if scope["type"] == "http":
            try:
                _check_headers(scope)
                _check_target(scope)
            except GatewayError as exc:
                return error_response(exc)(scope, receive, send)
        return self.app(scope, receive, send)


class UnreadBody:
    """Close the connection after an answer to a request whose body was not read to its end.

    Closing with unread bytes in the socket resets the connection, and the client sees the reset instead of the answer. So further
    bytes are read and dropped for `linger_s` at most, unless the client still waits for `100 Continue`.
    """

    def __init__(self, app: ASGIApp, linger_s: float = 2.0):
        self.app = app
        self.linger_s = linger_s

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or not _has_body(scope["headers"]):
            return self.app(scope, receive, send)
        unread, read_started = True, False

        async def receive_and_watch() -> Message:
            nonlocal unread, read_started
            read_started = True
            message = await receive()
            unread = unread and message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def send_and_close(message: Message) -> None:
            if not unread:
                await send(message)
            elif message["type"] == "http.response.start":
                headers: Headers = list(message.get("headers", []))
                _set_default(headers, b"connection", b"close")
                await send({**message, "headers": headers})
            elif message.get("more_body", False) or not (read_started or _sends_body_at_once(scope["headers"])):
                await send(message)
            else:
                await send({**message, "more_body": True})
                await self._drain(receive)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        return self.app(scope, receive_and_watch, send_and_close)

    async def _drain(self, receive: Receive) -> None:
        try:
            async with asyncio.timeout(self.linger_s):
                more = True
                while more:
                    message = await receive()
                    more = message["type"] == "http.request" and message.get("more_body", False)
        except TimeoutError:
            pass


class InternalErrors:
    """Answer 500 `internal_error` to an unexpected exception and log it; once an answer has begun, the connection is cut."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_and_watch(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_watch)
        except Exception as exc:
            if begun or scope["type"] != "http":
                raise
            await internal_error_response(scope.get("state", {}), exc)(scope, receive, send)


class SandboxMark:
    """Add the header `x-imagegate-sandbox` to every answer."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), (b"x-imagegate-sandbox", b"true")]}
            await send(message)

        await self.app(scope, receive, send_marked)


def wrap(app: ASGIApp, is_draining: Callable[[], bool] = lambda: False, *, cors_origins: Sequence[str] = ()) -> ASGIApp:
    """Wrap `app` in the middleware that all requests pass."""
    return RequestId(AccessLog(cors(FrameGuard(UnreadBody(InternalErrors(app))), cors_origins)), is_draining)


def _check_headers(scope: Scope) -> None:
    headers: Headers = scope["headers"]
    if len(headers) > HEADERS_MAX:
        raise HeadersTooLarge(f"The request has {len(headers)} headers; at most {HEADERS_MAX} are allowed. Send fewer.")
    checked: dict[bytes, list[bytes]] = {name: [] for name in _CHECKED}
    headers_bytes = 0
    for name, value in headers:
        headers_bytes += len(name) + len(value) + 4
        if b"\0" in value:
            raise BadRequest("A header holds a NUL byte; remove it.")
        if name in checked:
            checked[name].append(value)
    if headers_bytes > HEADERS_BYTES_MAX:
        raise HeadersTooLarge(f"The headers have {headers_bytes:,} bytes; at most {HEADERS_BYTES_MAX:,} are allowed.")
    hosts, lengths = checked[b"host"], checked[b"content-length"]
    if (scope["http_version"] != "1.0" or hosts) and (len(hosts) != 1 or not _HOST.fullmatch(hosts[0])):
        raise BadRequest("The request needs one Host header with a name and, if any, a port.")
    if len(lengths) > 1 or not all(value.isdigit() for value in lengths):
        raise BadRequest("Content-Length must come once, as a whole number.")
    codings = [value.strip().lower() for value in checked[b"transfer-encoding"]]
    if codings and (codings != [b"chunked"] or lengths):
        raise BadRequest("Transfer-Encoding must be 'chunked' alone, and without Content-Length.")


def _check_target(scope: Scope) -> None:
    path = _raw_path(scope)
    target_bytes = len(path) + len(scope["query_string"])
    if target_bytes > TARGET_BYTES_MAX:
        raise UriTooLong(f"The URL has {target_bytes:,} bytes; at most {TARGET_BYTES_MAX:,} are allowed.")
    if scope["method"] not in METHODS:
        raise MethodNotAllowed("This method is not supported.", headers={"allow": ", ".join(METHODS)})
    if _MODEL_PATH.match(path):
        path = path.lower().replace(b"%2f", b"")  # The SDKs encode the slash of a model's name.
    if _ODD_PATH.search(path):
        raise UnknownUrl("Unknown request URL: the path holds characters that no path here has. Check the base URL.")


def _raw_path(scope: Scope) -> bytes:
    raw: bytes | None = scope.get("raw_path")
    return scope["path"].encode() if raw is None else raw


def _sends_body_at_once(headers: Headers) -> bool:
    return all(name != b"expect" for name, _ in headers)


def _has_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0") != b"")
        for name, value in headers
    )


def _set_default(headers: Headers, name: bytes, value: bytes) -> None:
    if all(known.lower() != name for known, _ in headers):
        headers.append((name, value))
