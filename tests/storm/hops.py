"""Proxies in the way of a request: between a client and the gateway, or between the gateway and the relay.

A hop reads a request whole, knows it by the marker in its prompt, and has a play decide what becomes of it. Each request goes on
over a connection of its own, and no connection is kept, on either side. A client that hangs up ends the play, as in proxies.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.storm.arrivals import marker_of, read_request
from tests.storm.wire import reset

HOST = "127.0.0.1"
PIECE_BYTES = 1 << 16


@dataclass
class Passage:
    """One request at a hop. `arrival` counts those of its marker at this hop, from 1."""

    marker: str
    arrival: int
    client: asyncio.StreamWriter
    _request: bytes
    _target: tuple[str, int]
    sent: bool = False
    """Whether the client has been sent anything."""
    _beyond: asyncio.StreamWriter | None = None

    async def forward(self) -> asyncio.StreamReader:
        """Send the request on; what comes back, to its end. Raises OSError where nobody listens."""
        reader, self._beyond = await asyncio.open_connection(*self._target, limit=PIECE_BYTES)
        self._beyond.write(self._request)
        await self._beyond.drain()
        return reader

    async def exchange(self) -> tuple[bytes, bytes]:
        """Forward it and wait for the whole answer: its head, with the empty line, and its body."""
        whole = await (await self.forward()).read()
        head, found, body = whole.partition(b"\r\n\r\n")
        if not found:
            raise ConnectionError("no answer")
        return head + found, body

    async def send(self, data: bytes) -> None:
        self.sent = True
        self.client.write(data)
        await self.client.drain()

    async def pass_on(self) -> None:
        """Be a wire: everything that comes back goes to the client as it comes."""
        reader = await self.forward()
        while piece := await reader.read(PIECE_BYTES):
            await self.send(piece)

    def reset(self) -> None:
        """Break the client's connection with a TCP reset."""
        reset(self.client)

    def leave(self) -> None:
        """Hang up on the other side, as a proxy does whose client is gone."""
        if self._beyond is not None:
            self._beyond.transport.abort()


Play = Callable[[Passage], Awaitable[None]]


@dataclass
class Hop:
    """`arrivals` by marker."""

    target: str
    play: Play
    arrivals: Counter[str] = field(default_factory=Counter)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError, ValueError):
            passage = await self._arrived(reader, writer)
            playing = asyncio.create_task(self._played(passage))
            leaving = asyncio.create_task(_left(reader))
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (playing, leaving):
                task.cancel()
            await asyncio.gather(playing, leaving, return_exceptions=True)
            passage.leave()
        writer.close()

    async def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Passage:
        head, body = await read_request(reader)
        marker = marker_of(body)
        self.arrivals[marker] += 1
        where = urlsplit(self.target)
        assert where.hostname is not None and where.port is not None
        return Passage(marker, self.arrivals[marker], writer, _closing(head) + body, (where.hostname, where.port))

    async def _played(self, passage: Passage) -> None:
        """Play the fault; a connection that breaks behind the hop breaks in front of it too."""
        try:
            await self.play(passage)
        except OSError:
            passage.reset()


@asynccontextmanager
async def hop(target: str, play: Play) -> AsyncIterator[Hop]:
    """A proxy in front of `target` (`http://host:port`) while the block lasts; what it still holds then is cut."""
    made, under_way = Hop(target, play), set[asyncio.Task[None]]()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(made.serve(reader, writer))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    server = await asyncio.start_server(connected, HOST, 0, limit=1 << 20, backlog=1024)
    made.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in list(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _left(reader: asyncio.StreamReader) -> None:
    """Returns when the client has hung up; it says nothing more before it has its answer."""
    with suppress(OSError):
        await reader.read(1)


def _closing(head: bytes) -> bytes:
    """The head of a request, asking for a connection that ends with the answer."""
    line, _, rest = re.sub(rb"(?im)^connection:[^\r\n]*\r\n", b"", head).partition(b"\r\n")
    return line + b"\r\nConnection: close\r\n" + rest
