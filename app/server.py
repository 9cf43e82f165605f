"""uvicorn server with limits on request heads, pipelined requests and slow readers, and a drain before the exit."""

import asyncio
import os
import resource
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Any

import httptools
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.api.errors import error_response
from app.errors import BadRequest, ConfigurationError, GatewayError, HeadersTooLarge
from app.images.service import ImageService

HEAD_BYTES_MAX = 64 * 1024
HEAD_TIMEOUT_S = 10.0
PIPELINED_MAX = 16
"""Most pipelined requests of a connection. SDKs send no request before the answer to the one before."""
READER_TIMEOUT_S = 60.0
"""Longest time for a client to read a chunk of an answer (`app.spool.CHUNK_BYTES`); then its connection is cut."""
UNSENT_BYTES = 4 * 1024
"""Write buffer size: enough for the head and body of a small answer, which are then sent in one system call."""
LINGER_S = 1.0
"""Time after the answer to malformed HTTP in which further bytes are read and dropped."""
SHUTDOWN_TIMEOUT_S = 60
KEEP_ALIVE_S = 75
"""Longest idle time of a connection. It exceeds that of clients and proxies (the SDKs: 5 s, nginx: 60 s), so that the server does
not close a connection while a client sends a request on it."""
BACKLOG = 2048
UNIX_CLIENT = "unix"
"""Address of a client at a Unix socket, a proxy on this machine, whose X-Forwarded-For is believed."""
UNIX_MODE = 0o660
"""Mode of a Unix socket: members of its group may connect."""
OPEN_FILES = 65_536
log = structlog.get_logger()


class Parser(httptools.HttpRequestParser):
    """Parser that ignores `Upgrade` headers. httptools would take the body for bytes of the other protocol."""

    __slots__ = ("_protocol",)

    def __init__(self, protocol: "Protocol"):
        super().__init__(protocol)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # As uvicorn does.
        self._protocol = protocol

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # uvicorn passes bytes only
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            (head_end,) = upgrade.args
            self.feed_data(self._protocol.head_without_upgrade() + data[head_end:])


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with limits: bytes and time of a head, pipelined requests, and the time of a slow reader."""

    _unread_bytes = 0
    """Bytes received since the parser last finished a head, a piece of a body or a message: the size of an unfinished head."""
    _refused = False
    """True once the rest of the input is ignored; the connection closes after the current answer."""
    _head_timer: asyncio.TimerHandle | None = None
    _reader_timer: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.parser = Parser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.client = self.client or (UNIX_CLIENT, 0)
        # Writing is paused until the kernel has nearly all of a piece, so that the reader's timer covers the last piece, too.
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_reader_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a head, or trailers, above HEAD_BYTES_MAX while they arrive, because the parser keeps them in memory."""
        if self._refused:
            return
        self._unread_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread_bytes > HEAD_BYTES_MAX:
            self._refuse(HeadersTooLarge(f"The headers have more than {HEAD_BYTES_MAX:,} bytes; send fewer."))
        elif self._unread_bytes and self._head_timer is None and self._open_cycle() is None:
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        """Start a request. Raises ValueError above PIPELINED_MAX, because one read can hold 30,000 requests and is parsed whole."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("this is no proxy")  # The parser reports it as malformed HTTP.
            return  # `feed_data` parses the head again, without the `Upgrade` header.
        self._unread_bytes = 0
        self._stop_head_timer()
        if len(self.pipeline) == PIPELINED_MAX:
            raise ValueError("too many requests wait in this connection")  # Reported as malformed HTTP.
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._unread_bytes = 0
            super().on_message_complete()

    def head_without_upgrade(self) -> bytes:
        """Rebuild the head that was just parsed, without its `Upgrade` header."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def send_400_response(self, msg: str) -> None:
        """Answer malformed HTTP with OpenAI's error object instead of uvicorn's plain text."""
        self._refuse(BadRequest(msg))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reader_timer = self.loop.call_later(READER_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_reader_timer()
        super().resume_writing()

    def _refuse(self, error: GatewayError) -> None:
        """Send an error and close the connection.

        While an earlier request is being answered, send no error, which the client would take for that answer: only close after it.
        """
        if self._refused:
            return
        self._refused = True
        cycle = self._open_cycle()
        if cycle is not None and (self.pipeline or not cycle.more_body):
            cycle.keep_alive = False
            return
        response = error_response(error)
        status = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()
        headers = [b": ".join(header) for header in (*response.raw_headers, (b"connection", b"close"))]
        self.transport.write(b"\r\n".join([status, *headers, b"", bytes(response.body)]))
        # Closing while the client still sends would reset the connection, and the client would not see the error.
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def _open_cycle(self) -> RequestResponseCycle | None:
        """Return the latest request while it is not answered."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle if cycle is not None and not cycle.response_complete else None

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_reader_timer(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None


class Server(uvicorn.Server):
    """uvicorn's server with a drain: on SIGTERM or SIGINT it refuses new image requests, finishes those in flight, and exits."""

    def __init__(self, app: ASGIApp, image_service: ImageService, drain_s: float, started: Callable[[], None]):
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",  # Warnings are about malformed requests, which anybody can send.
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
            forwarded_allow_ips=_trusted_proxies(),
        )
        super().__init__(config)
        self._image_service = image_service
        self._drain_s = drain_s
        self._started = started
        self._loop: asyncio.AbstractEventLoop
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's)
        """Start the drain. A second signal changes nothing, because requests in flight are paid for."""
        if not self._image_service.draining:
            self._image_service.draining = True
            self._loop.call_soon_threadsafe(self._start_draining)

    def _start_draining(self) -> None:
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        log.info("shutting down", in_flight=self._image_service.in_flight, at_most_s=self._drain_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._image_service.wait_until_idle()
        self._image_service.close()
        self.should_exit = True


def _trusted_proxies() -> str:
    """Return whose X-Forwarded-For is believed: uvicorn's own variable, and proxies at a Unix socket."""
    given = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1").strip()
    return given if given == "*" else f"{given},{UNIX_CLIENT}"


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket. Raises ConfigurationError when the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {exc.strerror or exc}. Use another --port, or stop what listens there."
        ) from exc
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def listen_at(path: Path) -> socket.socket:
    """Open a listening Unix socket. A socket that a dead gateway left is replaced. Raises ConfigurationError for a path that cannot
    be used, or that is another program's."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode) and _is_left(path):
            path.unlink()
        sock.bind(str(path))
        path.chmod(UNIX_MODE)
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise ConfigurationError(
            f"Cannot listen on {path}: {exc.strerror or exc}. Use another --uds, or stop what listens there."
        ) from exc
    return sock


def _is_left(path: Path) -> bool:
    """Return whether nobody listens at a socket any more."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return True
    return False


def allow_many_files() -> None:
    """Raise the process's limit of open files as far as the system allows.

    Each request in flight needs two sockets; the usual 1,024 are enough for only a few hundred users.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
