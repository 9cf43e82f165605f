"""The aiohttp session to the relay, and the two things it does not do by itself: look at a kept connection before using it again,
and say whether anything of a request was written."""

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
"""Bytes of an answer that may wait for their reader before reading from the socket stops. More than a picture has: under TLS,
uvloop 0.23 drops what it has not decrypted when reading stops and the relay closes, and the end of a paid picture would be lost."""
HEADER_BYTES_MAX: Final = 64 * 1024
"""Bytes of one line of an answer's head; more is a broken answer."""


class StaleConnection(Exception):
    """Kept connection that the relay has closed, or on which something came that was not asked for. Nothing was written to it."""


class CheckedRequest(ClientRequest):
    """Request that is written only to a connection on which nothing waits; `write_began` once it may have left in part."""

    write_began = False

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Raise StaleConnection instead of writing to a connection that cannot be trusted.

        aiohttp keeps what comes on an idle connection and would return it as the answer to this request: one client's picture to
        another. An end that the event loop has not read yet would make the outcome of this request unknown.
        """
        if conn.protocol is None or conn.protocol.should_close or _has_unread(conn.transport):
            raise StaleConnection
        self.write_began = True
        return await super().send(conn)


class RequestWatch:
    """Middleware of one request. Takes another connection in place of a stale one; never sends a second time."""

    def __init__(self) -> None:
        self._request: ClientRequest | None = None

    @property
    def write_began(self) -> bool:
        """False proves that no byte of the request has left."""
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
        ssl=_tls_context(ca_file) if tls else True,
        socket_factory=_watched_socket,
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


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as exc:  # Includes ssl.SSLError: a file that holds no certificate.
            reason = exc.strerror or type(exc).__name__
            raise ConfigurationError(
                f"IMAGEGATE_UPSTREAM_CA_FILE {ca_file} cannot be used ({reason}): it must hold certificates in PEM form."
            ) from None
    return context


def _has_unread(transport: asyncio.Transport | None) -> bool:
    """Ask the system for what the event loop has not read yet: an end, or anything where there is no TLS, which sends tickets."""
    if transport is None or transport.is_closing():
        return True
    events = getattr(select, "POLLRDHUP", 0)
    if transport.get_extra_info("sslcontext") is None:
        events |= select.POLLIN
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket").fileno(), events)
    return bool(waiting.poll(0))


def _watched_socket(address: tuple[Any, ...]) -> socket.socket:
    """Make a socket that probes the other end while it is silent: an image takes minutes, and middleboxes forget connections."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock
