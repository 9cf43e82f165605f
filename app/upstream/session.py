"""aiohttp session to the relay, with two additions: it checks a pooled connection before reuse, and it knows whether any byte of a
request was written."""

import asyncio
import select
import socket
import ssl
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection

from app.errors import ConfigurationError

IDLE_S: Final = 15
"""Seconds after which an idle connection is closed here, before the relay closes it while a request is under way."""
READ_BUFFER_BYTES: Final = 16 * 1024 * 1024
"""Buffered bytes of an answer above which reading from the socket pauses. Larger than any picture: under TLS, uvloop 0.23 drops
undecrypted bytes if the relay closes during a pause, and the end of a paid picture would be lost."""
HEADER_BYTES_MAX: Final = 64 * 1024
"""Most bytes in one line of an answer's head; a longer line fails the exchange."""


class StaleConnection(Exception):
    """Pooled connection that the relay closed, or that holds unrequested bytes. Nothing was written to it."""


class CheckedRequest(ClientRequest):
    """Request that is written only to a connection without unread bytes. `write_began`: part of it may have been sent."""

    write_began = False

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request. Raises StaleConnection instead of writing to a connection that is closed or holds unread bytes.

        aiohttp buffers bytes that arrive on an idle connection and would return them as the answer to this request: one client's
        picture to another. A close that the event loop has not read yet would make the outcome of this request unknown.
        """
        if conn.protocol is None or conn.protocol.should_close or _has_unread(conn.transport):
            raise StaleConnection
        self.write_began = True
        return await super().send(conn)


class RequestWatch:
    """Middleware of one request. Replaces a stale connection by another one; never sends a second time."""

    def __init__(self) -> None:
        self._request: ClientRequest | None = None

    @property
    def write_began(self) -> bool:
        """False only if no byte of the request was sent."""
        return isinstance(self._request, CheckedRequest) and self._request.write_began

    async def __call__(self, request: ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        self._request = request
        while True:  # Each turn closes one kept connection, so it ends with a new one.
            try:
                return await handler(request)
            except StaleConnection:
                continue


def open_session(
    *, connect_timeout_s: float, read_timeout_s: float, tls: bool, ca_file: Path | None
) -> aiohttp.ClientSession:
    """Open a session that keeps no cookie, reads no environment and sets no deadline of its own. Call it in the running loop.

    `connect_timeout_s` covers the lookup of the name, the proxy and TLS, `read_timeout_s` the silence between two reads. Raises
    ConfigurationError when `ca_file` cannot be used.
    """
    connector = aiohttp.TCPConnector(
        limit=0,
        keepalive_timeout=IDLE_S,
        ssl=_tls_context(ca_file) if tls and ca_file else True,
        socket_factory=_keepalive_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        request_class=CheckedRequest,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s, sock_read=read_timeout_s),
        read_bufsize=READ_BUFFER_BYTES,
        auto_decompress=False,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        trust_env=False,
    )


def _tls_context(ca_file: Path) -> ssl.SSLContext:
    """Make a TLS context that also trusts `ca_file`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(ca_file)
    except OSError as exc:  # Includes ssl.SSLError: a file that holds no certificate.
        reason = exc.strerror or type(exc).__name__
        raise ConfigurationError(
            f"IMAGEGATE_UPSTREAM_CA_FILE {ca_file} cannot be used ({reason}): it must hold certificates in PEM form."
        ) from None
    return context


def _has_unread(transport: asyncio.Transport | None) -> bool:
    """Check the socket for a close, and without TLS for any bytes, that the event loop has not read. TLS sends session tickets."""
    if transport is None or transport.is_closing():
        return True
    events = getattr(select, "POLLRDHUP", 0)
    if transport.get_extra_info("sslcontext") is None:
        events |= select.POLLIN
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket").fileno(), events)
    return bool(waiting.poll(0))


def _keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """Create a socket with TCP keepalive: an image takes minutes, and middleboxes drop silent connections."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock
