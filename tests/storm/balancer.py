"""A load balancer of the plainest kind: TCP, in turn, by `/readyz`; connections that stand are left alone."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.storm.hops import HOST, PIECE_BYTES

CHECK_S = 1.0
"""Between two looks at a gateway, as is usual: for so long it may be sent what it does not want any more."""


@dataclass
class Balancer:
    """`connections` made to each gateway. One that does not answer `/readyz` with 200 gets no new ones."""

    gateways: list[str]
    url: str = ""
    ready: set[str] = field(default_factory=set)
    connections: Counter[str] = field(default_factory=Counter)
    _turn: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            beyond_reader, beyond_writer = await self._connected()
            try:
                await asyncio.gather(pipe(reader, beyond_writer), pipe(beyond_reader, writer))
            finally:
                beyond_writer.close()
        except OSError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next one that is ready, else the next that listens. Raises OSError when none does."""
        self._turn += 1
        in_turn = self.gateways[self._turn % len(self.gateways) :] + self.gateways[: self._turn % len(self.gateways)]
        for url in sorted(in_turn, key=lambda url: url not in self.ready):
            with suppress(OSError):
                made = await _connect(url)
                self.connections[url] += 1
                return made
        raise ConnectionError("no gateway listens")

    async def watch(self) -> None:
        while True:
            self.ready = {url for url in self.gateways if await _is_ready(url)}
            await asyncio.sleep(CHECK_S)


@asynccontextmanager
async def balancer(gateways: Sequence[str]) -> AsyncIterator[Balancer]:
    """Run a balancer before these gateways while the block lasts."""
    made = Balancer(list(gateways), ready=set(gateways))
    server = await asyncio.start_server(made.serve, HOST, 0, limit=PIECE_BYTES, backlog=1024)
    made.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    watching = asyncio.create_task(made.watch())
    try:
        yield made
    finally:
        server.close()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    where = urlsplit(url)
    return await asyncio.open_connection(where.hostname, where.port, limit=PIECE_BYTES)


async def _is_ready(url: str) -> bool:
    try:
        async with asyncio.timeout(CHECK_S):
            reader, writer = await _connect(url)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction to its end, then close the other side for writing. A reset is passed on as one."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.close()
    except OSError:
        writer.transport.abort()
