"""The connections to one relay: opened when none is idle, kept for the next request, closed before the relay does it."""

import asyncio
import socket
import ssl
from collections import deque
from typing import Any, Final
from urllib.parse import SplitResult

from aiohappyeyeballs import start_connection

from app.upstream.connection import BUFFER_BYTES, Connection

IDLE_S: Final = 15
"""Kept connections are closed by us after this long, before the relay closes them under our feet."""
ADDRESSES_S: Final = 10
"""A thousand that connect at once ask for the relay's addresses once."""
NEXT_ADDRESS_S: Final = 0.25
"""RFC 8305: how long an address may keep us waiting before the next one is tried beside it."""

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


class NotConnected(Exception):
    """No connection came about; nothing was sent."""


class Connections:
    """Make it inside a running event loop; close it there. The one used last is used first, so that the others can grow old."""

    def __init__(self, root: SplitResult, *, connect_timeout_s: float, silent_s: float):
        assert root.hostname is not None
        self._host = root.hostname
        self._port = root.port or (443 if root.scheme == "https" else 80)
        self._tls = _tls() if root.scheme == "https" else None
        self._connect_timeout_s = connect_timeout_s
        self._silent_s = silent_s
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._loop = asyncio.get_running_loop()
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._addresses: list[AddressInfo] = []
        self._addresses_until_s = 0.0
        self._resolving = asyncio.Lock()
        self._closed = False

    async def take(self) -> Connection:
        """One that is ready. Raises NotConnected when none comes about in time: refused, not resolved, no TLS."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.is_quiet():
                return connection
            connection.abort()
            self._all.discard(connection)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                connection = await self._open()
        except (OSError, UnicodeError, RuntimeError) as exc:  # uvloop raises RuntimeError where asyncio raises OSError.
            raise NotConnected(type(exc).__name__) from exc
        return connection

    def give_back(self, connection: Connection) -> None:
        """At the end of its exchange, however that ended."""
        if connection.finish():
            connection.idle_since_s = self._loop.time()
            self._idle.append(connection)
            if self._sweeping is None:
                self._sweeping = self._loop.call_later(IDLE_S, self._sweep)
        else:
            self._all.discard(connection)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for connection in self._all:
            connection.abort()
        self._all.clear()
        self._idle.clear()
        await asyncio.sleep(0)  # A closed transport lets go of its socket in the loop's next turn.

    async def _open(self) -> Connection:
        sock = await start_connection(
            await self._resolved(), happy_eyeballs_delay=NEXT_ADDRESS_S, socket_factory=_watched_socket
        )
        connection, name = Connection(self._buffer, self._silent_s), self._host if self._tls else None
        try:
            await self._loop.create_connection(lambda: connection, sock=sock, ssl=self._tls, server_hostname=name)
        except BaseException:
            connection.abort()
            sock.close()
            raise
        if self._closed or not connection.reusable:
            connection.abort()
            raise ConnectionResetError("closed as soon as it was open")
        self._all.add(connection)
        return connection

    async def _resolved(self) -> list[AddressInfo]:
        async with self._resolving:
            if self._loop.time() >= self._addresses_until_s:
                found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._addresses, self._addresses_until_s = list(found), self._loop.time() + ADDRESSES_S
        return self._addresses

    def _sweep(self) -> None:
        old_s = self._loop.time() - IDLE_S
        while self._idle and (self._idle[0].idle_since_s <= old_s or not self._idle[0].reusable):
            connection = self._idle.popleft()
            connection.abort()
            self._all.discard(connection)
        self._sweeping = None
        if self._idle:
            self._sweeping = self._loop.call_at(self._idle[0].idle_since_s + IDLE_S, self._sweep)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _watched_socket(address: AddressInfo) -> socket.socket:
    """A socket that asks after the other end while it is silent: an image takes minutes, and middleboxes forget."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock
