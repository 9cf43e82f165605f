"""One HTTP/1.1 connection to the relay: a request out, its answer in, and the next one. llhttp, by httptools, reads what comes.

Its body is taken as it comes, and held back at the socket where it comes faster than it is taken (under TLS later: see below).
"""

import asyncio
import select
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

READ_BYTES: Final = 256 * 1024
"""What may wait to be taken before a connection is held back."""
BUFFER_BYTES: Final = 2 * READ_BYTES + 32 * 1024
"""What is taken from a connection at a time. Under TLS it is never filled: what uvloop has decrypted beyond a full one is lost when
the relay closes the connection just then."""
TLS_WAITING_BYTES_MAX: Final = 16 * 1024 * 1024
"""Under TLS that much may wait: where a connection is held back, uvloop 0.23 drops what it has not decrypted when the relay
closes it, and the end of a picture that is paid for would be lost."""
HEAD_BYTES_MAX: Final = 64 * 1024
"""Of a head, and of anything between and behind the bytes of a body."""
HEADERS_MAX: Final = 128

Headers = list[tuple[bytes, bytes]]


class ConnectionBroke(Exception):
    """The exchange did not end as it should; the message says how, and quotes nothing of it."""


class Connection(asyncio.BufferedProtocol):
    """For one task at a time: `send`, then `read` to its end, then again if it is `reusable`. `abort` at any time.

    `buffer`: what is read lies there until it was parsed, which is before anything else is read: one serves all connections of
    an event loop. `silent_s`: the longest time between two signs of life while an exchange is under way.
    """

    def __init__(self, buffer: memoryview, silent_s: float):
        self.status = 0
        self.headers: Headers = []
        self.idle_since_s = 0.0
        self._buffer = buffer
        self._silent_s = silent_s
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: HttpResponseParser
        self._under_way = self._sent = self._headed = self._whole = self._kept = self._until_close = False
        self._held_back = self._full = False
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = self._bare_bytes = self._headers_bytes = 0
        self._waiting_bytes_max = READ_BYTES
        self._fault: str | None = None
        self._wake: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._heard_s = 0.0

    @property
    def reusable(self) -> bool:
        """The last exchange was complete on both sides, and nothing came after it."""
        return not self._under_way and self._fault is None and not self._transport.is_closing()

    def is_quiet(self) -> bool:
        """Nothing has come that the event loop did not get round to reading: an end would lose the next request, and anything
        else would be taken for its answer."""
        waiting = select.poll()
        waiting.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not waiting.poll(0)

    async def send(self, head: bytes, body: Iterable[bytes]) -> None:
        """Send a request and wait for the head of its answer. Raises ConnectionBroke.

        An answer that comes before the request has gone out whole ends the sending: it is a refusal.
        """
        self._begin()
        pieces = iter(body)
        self._transport.write(head + next(pieces, b""))
        while not self._sent and not self._headed and self._fault is None:
            if self._full:
                await self._changed()
            elif (piece := next(pieces, None)) is not None:
                self._heard_s = self._loop.time()
                self._transport.write(piece)
            else:
                self._sent = True
        while not self._headed:
            if self._fault is not None:
                raise ConnectionBroke(self._fault)
            await self._changed()

    async def read(self) -> bytes:
        """The next piece of the body as it comes; empty at its end. Raises ConnectionBroke when it does not end as it should."""
        while not self._chunks:
            if self._whole:
                return b""
            if self._held_back:
                self._held_back = False
                self._transport.resume_reading()
            if self._fault is not None:
                raise ConnectionBroke(self._fault)
            await self._changed()
        chunk = self._chunks.popleft()
        self._waiting_bytes -= len(chunk)
        return chunk

    def finish(self) -> bool:
        """The end of an exchange; whether the connection can serve another one. If not, it is closed."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        complete = self._whole and self._sent and self._kept and not self._transport.get_write_buffer_size()
        if not complete or self._chunks:
            self.abort()
        self._under_way = False
        return self.reusable

    def abort(self) -> None:
        """Close at once, or as soon as it is open. Idempotent."""
        self._fail("closed by this side")

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=READ_BYTES)
        if transport.get_extra_info("sslcontext") is not None:
            self._waiting_bytes_max = TLS_WAITING_BYTES_MAX
        if self._fault is not None:
            transport.abort()

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._under_way or self._whole:
            self._fail("something came that was not asked for")
            return
        self._heard_s = self._loop.time()
        self._bare_bytes += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except HttpParserUpgrade:
            self._fail("the relay changed the protocol")
        except HttpParserError as exc:
            self._fail(f"not HTTP: {type(exc).__name__}")
        if self._bare_bytes > HEAD_BYTES_MAX:
            self._fail("a head or a trailer without an end")
        self._hold_back()
        self._stir()

    def eof_received(self) -> None:
        """The transport closes itself then."""

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._headed and self._until_close and self._fault is None:
            self._whole = True
        self._fail("closed by the relay" if exc is None else type(exc).__name__)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._stir()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._whole:
            raise ConnectionBroke("a second answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_bytes += len(name) + len(value)
        if len(self.headers) >= HEADERS_MAX or self._headers_bytes > HEAD_BYTES_MAX:
            raise ConnectionBroke("too many headers")
        if not self._headed:  # Trailers are of no interest.
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200
        framed = any(
            name == b"content-length" or (name == b"transfer-encoding" and value.strip().lower().endswith(b"chunked"))
            for name, value in self.headers
        )
        self._until_close = not framed and self.status not in (204, 304)
        self._bare_bytes = 0

    def on_body(self, body: bytes) -> None:
        if not self._headed or not body:  # An interim answer should have none.
            return
        self._bare_bytes = 0
        self._chunks.append(body)
        self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        if self._headed:
            self._whole, self._kept = True, self._parser.should_keep_alive()
        else:  # 100, 102, 103: the answer itself is still to come.
            self.headers = []

    def _hold_back(self) -> None:
        """What comes faster than it is taken. Behind an answer we listen on: what comes there spoils the connection."""
        if self._waiting_bytes > self._waiting_bytes_max and not (self._whole or self._held_back or self._fault):
            self._held_back = True
            self._transport.pause_reading()

    def _begin(self) -> None:
        assert self.reusable, "one exchange at a time"
        self._parser = HttpResponseParser(self)
        # What is paid for is not thrown away for a space too many. What would leave it open where an answer ends stays refused.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        self.status, self.headers = 0, []
        self._headed = self._whole = self._until_close = self._sent = self._kept = False
        self._waiting_bytes = self._bare_bytes = self._headers_bytes = 0
        self._under_way = True
        self._heard_s = self._loop.time()
        self._alarm = self._loop.call_later(self._silent_s, self._look)

    def _look(self) -> None:
        """Nothing is heard of a connection that has died in the middle: so its time runs out."""
        left_s = self._heard_s + self._silent_s - self._loop.time()
        if left_s > 0:
            self._alarm = self._loop.call_later(left_s, self._look)
        else:
            self._fail("silent for too long")

    def _fail(self, how: str) -> None:
        if self._fault is None:
            self._fault = how
            if self._transport is not None:
                self._transport.abort()
        self._stir()

    async def _changed(self) -> None:
        self._wake = self._loop.create_future()
        try:
            await self._wake
        finally:
            self._wake = None

    def _stir(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
