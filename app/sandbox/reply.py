"""Sending of answers: late, in drops, cut or never, according to the script of the request."""

import asyncio
import contextlib
import gzip
import os
import socket
import struct
from collections.abc import Iterable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .hints import Script

CHUNK_BYTES = 256 * 1024
DRIPS = 20
# Bytes just written need this long to leave the socket; a reset discards those that have not.
BEFORE_RESET_S = 0.02
TRANSPORT = "sandbox.transport"
NO_SCRIPT = Script()


class Reply(Response):
    """Answer of the relay. `events` instead of `body` makes it a stream of server-sent events, `pause_s` apart.

    Setting `hurry` ends every wait.
    """

    def __init__(
        self,
        body: bytes,
        hurry: asyncio.Event,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        script: Script = NO_SCRIPT,
        events: Iterable[bytes] | None = None,
        pause_s: float = 0.0,
    ):
        self._script = script
        self._hurry = hurry
        self._events = events
        self._pause_s = pause_s
        if script.gzip:
            body, headers = gzip.compress(body), {**(headers or {}), "Content-Encoding": "gzip"}
        super().__init__(body, status, headers)
        if events is not None:
            del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._script.hang:
            await _until_the_client_leaves(receive)
        elif self._script.reset == "before_headers":
            await _reset(scope, receive)
        else:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send_body(scope, receive, send)

    async def _send_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._events is not None:
            await self._send_events(scope, receive, send, self._events)
        elif self._script.reset == "mid_body":
            await send(_piece(self.body[: len(self.body) // 2]))
            await _reset(scope, receive)
        elif self._script.drip is not None:
            await self._drip(send, self._script.drip)
        else:
            for start in range(0, len(self.body), CHUNK_BYTES):
                await send(_piece(self.body[start : start + CHUNK_BYTES]))
            await send(_piece(b"", more=False))

    async def _drip(self, send: Send, total_s: float) -> None:
        step = max(1, -(-len(self.body) // DRIPS))
        for start in range(0, len(self.body), step):
            await send(_piece(self.body[start : start + step]))
            await pause(self._hurry, total_s / DRIPS)
        await send(_piece(b"", more=False))

    async def _send_events(self, scope: Scope, receive: Receive, send: Send, events: Iterable[bytes]) -> None:
        pause_s = self._pause_s if self._script.drip is None else self._script.drip / DRIPS
        for number, event in enumerate(events):
            if number:
                await pause(self._hurry, pause_s)
            await send(_piece(event))
        if self._script.sse == "cut" or self._script.reset == "mid_body":
            await _reset(scope, receive)
        else:
            await send(_piece(b"", more=False))


async def pause(end: asyncio.Event, seconds: float) -> None:
    """Wait, at most until the event."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(end.wait(), seconds)


def _piece(content: bytes | memoryview, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": bytes(content), "more_body": more}


async def _until_the_client_leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reset(scope: Scope, receive: Receive) -> None:
    """Break the connection with a TCP reset; needs the sandbox's own server, which puts the transport in the scope."""
    transport: asyncio.Transport = scope[TRANSPORT]
    await asyncio.sleep(BEFORE_RESET_S)
    abort(transport)
    await _until_the_client_leaves(receive)


def abort(transport: asyncio.Transport) -> None:
    """Close with RST, not FIN: SO_LINGER of zero seconds. The twin descriptor shares the socket's options."""
    number = transport.get_extra_info("socket").fileno()
    if number >= 0:
        with socket.socket(fileno=os.dup(number)) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
