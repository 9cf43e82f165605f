"""HTTP client of the relay. One call sends one request, never a second attempt."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import aiohttp
from yarl import URL

from app.core.request import ImageRequest, Operation
from app.errors import ConfigurationError
from app.spool import Segments, Spool, segments_bytes, segments_chunks
from app.upstream.addresses import relay_root, relay_url
from app.upstream.decoding import NotDecodable, decoded
from app.upstream.multipart_out import encode_multipart
from app.upstream.redaction import hide_secret
from app.upstream.session import RequestWatch, open_session
from app.upstream.skeleton import compact_json

READ_BYTES: Final = 256 * 1024
SMALL_BYTES: Final = 256 * 1024
"""The largest body that is written at once."""
STREAM_END_S: Final = 1.0
STREAM_END_BYTES: Final = 64 * 1024
"""Most bytes read after the last event of a stream, so that its connection can be reused."""
_PATH_CHARS: Final = "/%:@!$&'()*+,;=~-._"
_PATHS: Final[dict[Operation, str]] = {
    "generation": "/v1/images/generations",
    "edit": "/v1/images/edits",
    "variation": "/v1/images/variations",
}
_PROXY_AUTH_STATUSES: Final = (401, 407)
"""Statuses of a CONNECT with a wrong user or password; tinyproxy answers 401."""
_FAILURES: Final = (aiohttp.ClientError, OSError, RuntimeError)
"""Failures of an exchange. aiohttp and uvloop raise RuntimeError when they find a connection closed."""


class NotSent(Exception):
    """Failure before any byte of the request was sent: DNS, refused, TLS, connect timeout. Nothing can have been charged."""


class Broken(Exception):
    """Failure after bytes of the request may have been sent. Its outcome is unknown."""


class Answer(Protocol):
    """Head of an answer, and its decoded body to be read once. The caller closes it."""

    status: int
    content_type: str
    upstream_request_id: str | None
    retry_after: str | None
    via_cloudflare: bool

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the decoded body as it comes, at most 256 KiB at a time. Raises Broken when it is cut or cannot be decoded."""
        ...

    async def close(self) -> None:
        """Return the connection to the pool after the end of the body, else close it. Idempotent."""
        ...


class RelayReader(Protocol):
    """Relay that answers free GETs, for `/v1/models`, its prices and its bills."""

    async def get(self, path: str) -> Answer:
        """Return the answer to a GET of `path`. Raises NotSent or Broken."""
        ...


class Upstream(Protocol):
    """Relay that draws images. One call sends at most one request."""

    async def send(self, request: ImageRequest, *, model_drops_response_format: bool, request_id: str) -> Answer:
        """Send `request` and wait for the head of the answer. Raises NotSent or Broken.

        The only timeouts are those for connecting and between two reads. After a cancellation the outcome is unknown.
        """
        ...


class HttpUpstream:
    """Relay over HTTP. Create and close it inside the running event loop.

    `base_url` may end in `/v1`; `proxy` is an http or https address and may hold a user and a password; `ca_file` holds
    certificates that are trusted besides the system's. Follows no redirect, keeps no cookie, and reads nothing from the
    environment. Builds every header itself, so that none of a client's reaches the relay. Raises ConfigurationError for invalid
    arguments.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        connect_timeout_s: float = 5.0,
        read_timeout_s: float = 1800.0,
        proxy: str | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self.base_url = relay_root(base_url)
        root = relay_url(base_url)
        self._origin = str(root.origin())
        self._prefix = quote(root.path.rstrip("/"), safe=_PATH_CHARS)
        self._headers = _common_headers(api_key)
        hide_secret(api_key)
        self._proxy = URL(proxy) if proxy else None
        hide_secret((self._proxy.password if self._proxy else None) or "")
        tls = "https" in (root.scheme, self._proxy.scheme if self._proxy else "")
        self._session = open_session(
            connect_timeout_s=connect_timeout_s, read_timeout_s=read_timeout_s, tls=tls, ca_file=ca_file
        )
        self._ending_tasks: set[asyncio.Task[None]] = set()

    async def send(self, request: ImageRequest, *, model_drops_response_format: bool, request_id: str) -> Answer:
        fields = request.fields
        if model_drops_response_format:
            fields = {name: value for name, value in fields.items() if name != "response_format"}
        content_type, body = _body(request, fields)
        headers = {
            "Accept": "text/event-stream, application/json" if request.stream else "application/json",
            "Content-Type": content_type,
            "Content-Length": str(segments_bytes(body)),
            "X-Request-Id": request_id,
        }
        path = _PATHS[request.operation]
        if request.spool is None:
            text = b"".join(part for part in body if isinstance(part, bytes))
            return await self._request("POST", path, headers, text if len(text) <= SMALL_BYTES else io.BytesIO(text))
        return await self._request("POST", path, headers, _spooled_chunks(body, request.spool))

    async def get(self, path: str) -> Answer:
        return await self._request("GET", path, {"Accept": "application/json"}, None)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        await self._session.close()
        await asyncio.gather(*self._ending_tasks)

    async def _request(
        self, method: str, path: str, headers: dict[str, str], body: bytes | io.BytesIO | AsyncIterator[bytes] | None
    ) -> Answer:
        watch = RequestWatch()
        try:
            response = await self._session.request(
                method,
                URL(f"{self._origin}{self._prefix}{path}", encoded=True),
                headers=self._headers | headers,
                data=body,
                proxy=self._proxy,
                allow_redirects=False,
                middlewares=(watch,),
            )
        except _FAILURES as exc:
            if watch.write_began:
                raise _broken(exc) from exc
            if isinstance(exc, aiohttp.ClientHttpProxyError) and exc.status in _PROXY_AUTH_STATUSES:
                return ProxyRefusal()
            # Without its cause, whose text can hold the proxy's password.
            raise NotSent(f"{type(exc).__name__}: no connection to {self.base_url}") from None
        return HttpAnswer(response, self._ending_tasks)


class HttpAnswer:
    """Answer over HTTP with an unread body. `ending_tasks` collects the tasks that read streams to their end."""

    def __init__(self, response: aiohttp.ClientResponse, ending_tasks: set[asyncio.Task[None]]):
        headers = response.headers
        self.status = response.status
        self.content_type = headers.get("Content-Type", "")
        self.upstream_request_id = _request_id(headers)
        self.retry_after = headers.get("Retry-After")
        self.via_cloudflare = "CF-Ray" in headers
        self._encoding = headers.get("Content-Encoding", "")
        self._response: aiohttp.ClientResponse | None = response
        self._ending_tasks = ending_tasks
        self._is_reading = False

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in decoded(self._encoded_chunks(), self._encoding):
                yield chunk
        except (*_FAILURES, NotDecodable) as exc:
            raise _broken(exc) from exc

    async def _encoded_chunks(self) -> AsyncIterator[bytes]:
        assert self._response is not None, "an answer is read before it is closed"
        content = self._response.content
        while True:
            self._is_reading = True
            chunk = await content.read(READ_BYTES)
            self._is_reading = False
            if not chunk:
                return
            yield chunk

    async def close(self) -> None:
        response, self._response = self._response, None
        if response is None or response.closed:
            return
        if (
            self._is_reading or "event-stream" not in self.content_type.lower()
        ):  # It failed, was cancelled or is not needed.
            response.close()
            return
        ending = asyncio.create_task(_drain_stream(response))
        self._ending_tasks.add(ending)
        ending.add_done_callback(self._ending_tasks.discard)


class ProxyRefusal:
    """Answer of a proxy that rejects our user or password: 407, without a body."""

    status = 407
    content_type = ""
    upstream_request_id: str | None = None
    retry_after: str | None = None
    via_cloudflare = False

    async def chunks(self) -> AsyncIterator[bytes]:
        return
        yield

    async def close(self) -> None:
        """Do nothing: there is no connection."""


async def _drain_stream(response: aiohttp.ClientResponse) -> None:
    """Read the rest of a stream after its last event, then release its connection: reusable if the stream ended, else closed."""
    left_bytes = STREAM_END_BYTES
    try:
        async with asyncio.timeout(STREAM_END_S):
            while left_bytes > 0 and (chunk := await response.content.read(left_bytes)):
                left_bytes -= len(chunk)
    except _FAILURES:  # A timeout is an OSError.
        pass
    finally:
        response.close()


async def _spooled_chunks(body: Segments, spool: Spool) -> AsyncIterator[bytes]:
    # Reads of a spool are short and from the page cache, so they run here and not in a thread.
    for piece in segments_chunks(body, spool):
        yield piece


def _broken(exc: Exception) -> Broken:
    """Build the error. Its message names only the class of `exc`: the text can quote the answer."""
    return Broken(f"The exchange with the upstream broke off: {type(exc).__name__}")


def _common_headers(api_key: str) -> dict[str, str]:
    """Build the headers of every request. Raises ConfigurationError when the key holds characters that no header may."""
    if not (api_key.isascii() and (api_key.isprintable() or not api_key)):
        raise ConfigurationError("IMAGEGATE_UPSTREAM_API_KEY holds characters that no key has; copy it again.")
    return {"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity", "User-Agent": _USER_AGENT}


def _body(request: ImageRequest, fields: dict[str, Any]) -> tuple[str, Segments]:
    if request.operation == "generation":
        return "application/json", [compact_json(fields)]
    return encode_multipart(fields, request.uploads)


def _request_id(headers: Mapping[str, str]) -> str | None:
    """Return the relay's own id of the request, or the provider's: printable, at most 128 characters."""
    value = headers.get("X-Oneapi-Request-Id") or headers.get("X-Request-Id")
    return value if value and len(value) <= 128 and value.isascii() and value.isprintable() else None


def _own_version() -> str:
    try:
        return version("imagegate")
    except PackageNotFoundError:
        return "0"


_USER_AGENT: Final = f"imagegate/{_own_version()}"
