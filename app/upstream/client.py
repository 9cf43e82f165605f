"""The conversation with the relay: one request out, its answer in, never a second try of its own."""

import socket
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import urlsplit

import aiohttp

from app.core.request import ImageRequest, Operation
from app.errors import ConfigurationError
from app.spool import CHUNK_BYTES, Segments, segments_bytes
from app.upstream.multipart_out import encode_multipart
from app.upstream.skeleton import compact_json

IDLE_CONNECTION_S: Final = 15
"""Kept connections are closed by us after this long, before the relay closes them under our feet."""
READ_BYTES: Final = 256 * 1024
"""What is taken from the relay's connection at a time."""
_HEADER_LINE_BYTES_MAX: Final = 16 * 1024
_HEADERS_MAX: Final = 128

_PATHS: Final[dict[Operation, str]] = {
    "generation": "/v1/images/generations",
    "edit": "/v1/images/edits",
    "variation": "/v1/images/variations",
}


class NotSent(Exception):
    """No request byte has left: refused, not resolved, no TLS, not connected in time. Nothing can have been charged."""


class Broken(Exception):
    """The exchange broke off after bytes may have left: what became of the request is unknown."""


class Answer(Protocol):
    """The head of an answer, and its body to be read once. Whoever got it closes it."""

    status: int
    content_type: str
    upstream_request_id: str | None
    retry_after: str | None
    encoded: bool
    """Content-Encoding is something other than identity: the body is not what it says."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, 256 KiB at most at a time. Raises Broken when it does not end as it should."""
        ...

    async def close(self) -> None:
        """Idempotent. Before the end of the body it closes the connection."""
        ...


class Upstream(Protocol):
    """A relay. One call sends at most one request."""

    async def send(self, wanted: ImageRequest, *, model_drops_response_format: bool, request_id: str) -> Answer:
        """Send and wait for the head of the answer. Raises NotSent or Broken. Sets no deadline but those for connecting
        and between two reads: a caller that gives up cancels, and then knows nothing about the outcome."""
        ...


class AiohttpUpstream:
    """A relay over HTTP. Make it inside a running event loop; close it there.

    `base_url` may end in `/v1`. Follows no redirect, keeps no cookie, reads no proxy from the environment, and builds its
    headers from nothing, so that nothing of a client's travels. Raises ConfigurationError on a `base_url` it cannot use.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 1800.0,
        connections_max: int = 0,
    ):
        self.base_url = relay_root(base_url)
        self._api_key = api_key
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections_max, keepalive_timeout=IDLE_CONNECTION_S, socket_factory=_watched_socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s, sock_read=read_timeout_s),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_BYTES,
            max_line_size=_HEADER_LINE_BYTES_MAX,
            max_field_size=_HEADER_LINE_BYTES_MAX,
            max_headers=_HEADERS_MAX,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )

    async def send(
        self, wanted: ImageRequest, *, model_drops_response_format: bool, request_id: str
    ) -> "AiohttpAnswer":
        fields = wanted.fields
        if model_drops_response_format:
            fields = {name: value for name, value in fields.items() if name != "response_format"}
        content_type, body = _body(wanted, fields)
        headers = self._headers(accept="text/event-stream, application/json" if wanted.stream else "application/json")
        headers |= {
            "Content-Type": content_type,
            "Content-Length": str(segments_bytes(body)),
            "X-Request-Id": request_id,
        }
        return await self._request("POST", _PATHS[wanted.operation], headers, _payload(body, wanted))

    async def get(self, path: str) -> "AiohttpAnswer":
        """The answer to a GET, for what costs nothing: `/v1/models` and the relay's accounting. Raises NotSent or Broken."""
        return await self._request("GET", path, self._headers(accept="application/json"), None)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._session.close()

    def _headers(self, accept: str) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._api_key}",
            "Accept": accept,
            "Accept-Encoding": "identity",
            "User-Agent": _USER_AGENT,
        }

    async def _request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | AsyncIterator[bytes] | None
    ) -> "AiohttpAnswer":
        try:
            response = await self._session.request(
                method, self.base_url + path, headers=headers, data=body, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            # Only the connector raises these two, before the request is written.
            raise NotSent(f"{type(exc).__name__}: no connection to {self.base_url}") from exc
        except _FAILURES as exc:
            _broke_off(exc)
        return AiohttpAnswer(response)


class AiohttpAnswer:
    """An answer over HTTP, its body still to be read."""

    def __init__(self, response: aiohttp.ClientResponse):
        headers = response.headers
        self.status = response.status
        self.content_type = headers.get("Content-Type", "")
        self.upstream_request_id = _request_id(headers)
        self.retry_after = headers.get("Retry-After")
        self.encoded = headers.get("Content-Encoding", "").strip().lower() not in ("", "identity")
        self._response = response

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except _FAILURES as exc:
            _broke_off(exc)

    async def close(self) -> None:
        self._response.close()


def relay_root(base_url: str) -> str:
    """`base_url` without a trailing slash or `/v1`. Raises ConfigurationError when it is no http or https address."""
    root = base_url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(root)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username is not None:
        raise ConfigurationError(
            "IMAGEGATE_UPSTREAM_BASE_URL must be an address such as https://api.whatai.cc, without a query or a password."
        )
    return root


_FAILURES: Final = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, OSError, ValueError)
"""Whatever a connection or an answer on it can do wrong; TimeoutError is an OSError, EOFError of a cut spool is not."""


def _broke_off(exc: Exception) -> NoReturn:
    raise Broken(f"The exchange with the upstream broke off: {type(exc).__name__}") from exc


def _body(wanted: ImageRequest, fields: dict[str, Any]) -> tuple[str, Segments]:
    if wanted.operation == "generation":
        return "application/json", [compact_json(fields)]
    return encode_multipart(fields, wanted.uploads)


def _payload(body: Segments, wanted: ImageRequest) -> bytes | AsyncIterator[bytes]:
    """Small JSON goes in one write with its headers; anything else piece by piece."""
    if len(body) == 1 and isinstance(body[0], bytes) and len(body[0]) <= CHUNK_BYTES:
        return body[0]
    return _pieces(body, wanted)


async def _pieces(body: Segments, wanted: ImageRequest) -> AsyncIterator[bytes]:
    """The body as it is sent. Reads of a spool are short and from the page cache, so they run here."""
    for piece in body:
        if isinstance(piece, bytes):
            yield piece
        else:
            assert wanted.spool is not None, "uploads lie in a spool"
            for chunk in wanted.spool.chunks(piece):
                yield chunk


def _request_id(headers: Mapping[str, str]) -> str | None:
    """The relay's own id of the request, or the provider's; printable and of a sane length."""
    told = headers.get("X-Oneapi-Request-Id") or headers.get("X-Request-Id")
    return told if told and len(told) <= 128 and told.isascii() and told.isprintable() else None


def _watched_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket that asks after the other end while it is silent: an image takes minutes, and middleboxes forget."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock


def _own_version() -> str:
    try:
        return version("imagegate")
    except PackageNotFoundError:
        return "0"


_USER_AGENT: Final = f"imagegate/{_own_version()}"
