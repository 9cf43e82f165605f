"""The conversation with the relay: one request out, its answer in, never a second try of its own."""

from collections.abc import AsyncIterator, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import SplitResult, quote, urlsplit

from app.core.request import ImageRequest, Operation
from app.errors import ConfigurationError
from app.spool import Segments, segments_bytes, segments_chunks
from app.upstream.connection import Connection, ConnectionBroke
from app.upstream.connections import Connections, NotConnected
from app.upstream.multipart_out import encode_multipart
from app.upstream.skeleton import compact_json

_PATH_CHARS: Final = "/%:@!$&'()*+,;=~-._"
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
        """The body as it comes, some 0.5 MiB at most at a time. Raises Broken when it does not end as it should."""
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


class HttpUpstream:
    """A relay over HTTP. Make it inside a running event loop; close it there.

    `base_url` may end in `/v1`. Follows no redirect, keeps no cookie, reads no proxy from the environment, and builds its
    headers from nothing, so that nothing of a client's travels. Raises ConfigurationError on a `base_url` or an `api_key` it
    cannot use.
    """

    def __init__(
        self, base_url: str, api_key: str, *, connect_timeout_s: float = 5.0, read_timeout_s: float = 1800.0
    ) -> None:
        self.base_url = relay_root(base_url)
        root = urlsplit(self.base_url)
        self._prefix = quote(root.path, safe=_PATH_CHARS)
        self._common = _common_headers(root, api_key)
        self._connections = Connections(root, connect_timeout_s=connect_timeout_s, silent_s=read_timeout_s)

    async def send(self, wanted: ImageRequest, *, model_drops_response_format: bool, request_id: str) -> "HttpAnswer":
        fields = wanted.fields
        if model_drops_response_format:
            fields = {name: value for name, value in fields.items() if name != "response_format"}
        content_type, body = _body(wanted, fields)
        accept = "text/event-stream, application/json" if wanted.stream else "application/json"
        about = (
            f"Content-Type: {content_type}\r\nContent-Length: {segments_bytes(body)}\r\nX-Request-Id: {request_id}\r\n"
        )
        path = _PATHS[wanted.operation]
        if wanted.spool is None:
            return await self._request("POST", path, accept, about, (part for part in body if isinstance(part, bytes)))
        # Reads of a spool are short and from the page cache, so they run here.
        return await self._request("POST", path, accept, about, segments_chunks(body, wanted.spool))

    async def get(self, path: str) -> "HttpAnswer":
        """The answer to a GET, for what costs nothing: `/v1/models` and the relay's accounting. Raises NotSent or Broken."""
        return await self._request("GET", path, "application/json", "", ())

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._connections.close()

    async def _request(self, method: str, path: str, accept: str, about: str, body: Iterable[bytes]) -> "HttpAnswer":
        try:
            connection = await self._connections.take()
        except NotConnected as exc:
            raise NotSent(f"{exc}: no connection to {self.base_url}") from exc
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._common}Accept: {accept}\r\n{about}\r\n"
        try:
            await connection.send(head.encode("latin-1"), body)
        except BaseException as exc:
            self._connections.give_back(connection)
            if isinstance(exc, ConnectionBroke):
                _broke_off(exc)
            raise
        return HttpAnswer(connection, self._connections)


class HttpAnswer:
    """An answer over HTTP, its body still to be read."""

    def __init__(self, connection: Connection, connections: Connections):
        headers = {
            name: value.decode("latin-1") for name, value in reversed(connection.headers)
        }  # The first one counts.
        self.status = connection.status
        self.content_type = headers.get(b"content-type", "")
        self.upstream_request_id = _request_id(headers)
        self.retry_after = headers.get(b"retry-after")
        self.encoded = headers.get(b"content-encoding", "").strip().lower() not in ("", "identity")
        self._connection: Connection | None = connection
        self._connections = connections

    async def chunks(self) -> AsyncIterator[bytes]:
        assert self._connection is not None, "an answer is read before it is closed"
        try:
            while chunk := await self._connection.read():
                yield chunk
        except ConnectionBroke as exc:
            _broke_off(exc)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._connections.give_back(connection)


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


def _broke_off(exc: ConnectionBroke) -> NoReturn:
    raise Broken(f"The exchange with the upstream broke off: {exc}") from exc


def _common_headers(root: SplitResult, api_key: str) -> str:
    """What every request carries. Raises ConfigurationError when the key would not stay in its line."""
    if not (api_key.isascii() and (api_key.isprintable() or not api_key)):
        raise ConfigurationError("IMAGEGATE_UPSTREAM_API_KEY holds characters that no key has; copy it again.")
    host = root.netloc if root.netloc.isascii() else root.netloc.encode("idna").decode()
    return (
        f"Host: {host}\r\nAuthorization: Bearer {api_key}\r\nAccept-Encoding: identity\r\nUser-Agent: {_USER_AGENT}\r\n"
    )


def _body(wanted: ImageRequest, fields: dict[str, Any]) -> tuple[str, Segments]:
    if wanted.operation == "generation":
        return "application/json", [compact_json(fields)]
    return encode_multipart(fields, wanted.uploads)


def _request_id(headers: Mapping[bytes, str]) -> str | None:
    """The relay's own id of the request, or the provider's; printable and of a sane length."""
    told = headers.get(b"x-oneapi-request-id") or headers.get(b"x-request-id")
    return told if told and len(told) <= 128 and told.isascii() and told.isprintable() else None


def _own_version() -> str:
    try:
        return version("imagegate")
    except PackageNotFoundError:
        return "0"


_USER_AGENT: Final = f"imagegate/{_own_version()}"
