"""uvicorn, with the manners a paid request needs: it drains before it leaves, and does not wait for ever for a request line."""

import asyncio
import gc
import resource
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.errors import ConfigurationError
from app.images.service import ImageService

HEADERS_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 60
KEEP_ALIVE_S = 75
"""Longer than clients and proxies keep an idle connection (the SDKs: 5 s, nginx: 60 s): else we would close one just as a request
comes on it, and its client would try again."""
BACKLOG = 2048
OPEN_FILES = 65_536
GARBAGE_OBJECTS = 10_000
"""How many new objects make Python look for cycles: its own 700 is a sixth of the work of a small request. Much more would keep
the bodies of requests that failed in memory: exceptions of asyncio are cycles, of some 200 objects each."""
PIPELINED_MAX = 16
"""Requests of one connection that wait for the one before them. No SDK sends a second one before its answer has come."""
HELD_BYTES_MAX = 16 * 1024
READ_BYTES_MAX = 1024 * 1024
READ_BYTES_MIN = HIGH_WATER_LIMIT + 1
TURN_BYTES = 8 * 1024 * 1024
"""From a connection at a time READ_BYTES_MAX are taken, and READ_BYTES_MIN, which is what makes uvicorn wait until they are taken
on, once TURN_BYTES have come in one turn of the event loop."""
KEPT_BYTES = 16 * 1024 * 1024
log = structlog.get_logger()


class Corked:
    """A transport whose small writes of one turn of the event loop leave together: the head of an answer and its body are one
    packet and one system call, not two of each."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """A large piece goes at once, with all before it: whoever sends the next one has to learn that the client is slow."""
        self._held.append(data)
        if len(data) > HELD_BYTES_MAX:
            self.release()
        elif len(self._held) == 1:
            self._loop.call_soon(self.release)

    def close(self) -> None:
        self.release()
        self._transport.close()

    def release(self) -> None:
        """Send what is held. Idempotent."""
        held, self._held = self._held, []
        if held and not self._transport.is_closing():  # A client that resets its connection leaves without a close.
            self._transport.writelines(held)


class Protocol(HttpToolsProtocol):
    """uvicorn's, without its trust: a connection whose head is not there after 10 s, or that asks without end, is closed. And
    without some of its copies: bodies are handed on as they come, and an answer leaves before it is written into the log."""

    _hurry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]
        transport.set_protocol(Inbound(self))
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._expect_headers()
        super().on_message_begin()
        self.scope["state"]["has_left"] = self.transport.is_closing

    def on_message_complete(self) -> None:
        """Whoever has sent all of it is listened to again, because that is how one sees it leave."""
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()

    def on_headers_complete(self) -> None:
        """Reading stops at the second request, but what was read with it is parsed to its end: 30,000 of them fit into one read."""
        self._headers_came()
        if len(self.pipeline) == PIPELINED_MAX:
            raise ValueError("too many requests at once")  # To the parser this is no HTTP.
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP behind a request that came whole is passed over, and the connection closed once that one is answered: a
        400 would be taken for its answer."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and (self.pipeline or not (cycle.more_body or cycle.response_complete)):
            cycle.keep_alive = False
        else:
            super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """An answer that is alone leaves before it is written into the log. Where there are more, sending them together costs less
        than it takes them later."""
        if len(self.tasks) == 1:
            self.transport.release()  # type: ignore[attr-defined]  # it is Corked
        super().on_response_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of a body that nothing waits before is handed on as it is: uvicorn would copy it into an array and out again.
        Once another one comes it is an array after all: adding to bytes copies them, for each of a million small chunks."""
        if self.cycle.body or self.cycle.response_complete:
            if isinstance(self.cycle.body, bytes):
                self.cycle.body = bytearray(self.cycle.body)
            super().on_body(body)
        else:
            super().on_body(b"")
            self.cycle.body = body  # type: ignore[assignment]  # only its truth, its bytes and `+=` are ever asked for
            if len(body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()

    def _expect_headers(self) -> None:
        self._headers_came()
        self._hurry = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.close)

    def _headers_came(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None


class Inbound(asyncio.BufferedProtocol):
    """Has what a client sends read into one buffer that serves all connections, and parsed there: uvloop would read less at a time,
    and copy it first. What came waits until the next turn of the event loop, so of many connections less is read in one turn.
    """

    _buffer = memoryview(bytearray(READ_BYTES_MAX))
    _came_bytes = 0  # Over all connections, in this turn.

    def __init__(self, protocol: Protocol):
        self._protocol = protocol

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer if self._came_bytes < TURN_BYTES else self._buffer[:READ_BYTES_MIN]

    def buffer_updated(self, nbytes: int) -> None:
        if nbytes > READ_BYTES_MIN:
            if self._came_bytes == 0:
                self._protocol.loop.call_soon(setattr, Inbound, "_came_bytes", 0)
            Inbound._came_bytes += nbytes
        self._protocol.data_received(self._buffer[:nbytes])  # type: ignore[arg-type]  # the parser takes any bytes

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT: unready and no new image requests at once, then those in flight to their end, then the exit."""

    def __init__(self, app: ASGIApp, image_service: ImageService, drain_s: float, started: Callable[[], None]):
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SEND_TIMEOUT_S,
        )
        super().__init__(config)
        self._buyer = image_service
        self._drain_s = drain_s
        self._tell_started = started
        self._loop: asyncio.AbstractEventLoop
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._tell_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's)
        """Called by the signal. A second one changes nothing: what is in flight is paid for."""
        if not self._buyer.draining:
            self._buyer.draining = True
            self._loop.call_soon_threadsafe(self._start_draining)

    def _start_draining(self) -> None:
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        log.info("shutting down", in_flight=self._buyer.in_flight, at_most_s=self._drain_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._buyer.wait_until_idle()
        self._buyer.close()
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError when the address is not to be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as exc:
        raise ConfigurationError(
            f"Cannot listen on {host}:{port}: {exc.strerror or exc}. Use another --port, or stop what listens there."
        ) from exc
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def settle_memory() -> None:
    """To be called once everything is loaded: what is there now stays, so looking for garbage in it is never worth the while.

    Bodies come in pieces for which the C library asks the system, and which it gives back, page by page. Once something of
    KEPT_BYTES was freed it keeps what is smaller, up to twice that in all.
    """
    bytearray(KEPT_BYTES)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 20, 20)


def allow_many_files() -> None:
    """Raise this process's own limit of open files as far as the system lets it: each request in flight takes two sockets, and the
    usual 1,024 would be spent by a few hundred people."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
