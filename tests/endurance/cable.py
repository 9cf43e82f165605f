"""TCP cable between a gateway and a server of it, which can be pulled out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tests.storm.balancer import pipe

HOST = "127.0.0.1"
PIECE_BYTES = 1 << 16


class Cable:
    """Passes bytes on to `target`. While it is cut, every connection is reset, those that stood and new ones."""

    def __init__(self, target: str):
        where = urlsplit(target)
        assert where.hostname is not None and where.port is not None
        self._target, self._where = target, (where.hostname, where.port)
        self._is_cut = False
        self._under_way: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Address of the target by way of the cable."""
        return self.by_way(self._target)

    def by_way(self, url: str) -> str:
        """Return a URL of the target, such as that of one of its databases, by way of the cable."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{HOST}:{self.port}").geturl()

    def cut(self) -> None:
        self._is_cut = True
        for task in self._under_way:
            task.cancel()

    def mend(self) -> None:
        self._is_cut = False

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            return writer.transport.abort()
        task = asyncio.create_task(self._serve(reader, writer))
        self._under_way.add(task)
        return task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            beyond_reader, beyond_writer = await asyncio.open_connection(*self._where, limit=PIECE_BYTES)
            ends.append(beyond_writer)
            await asyncio.gather(pipe(reader, beyond_writer), pipe(beyond_reader, writer))
        except (OSError, asyncio.CancelledError):
            for end in ends:
                end.transport.abort()
        finally:
            for end in ends:
                end.close()


@asynccontextmanager
async def cable(target: str) -> AsyncIterator[Cable]:
    """Lay a cable to a server, `scheme://host:port`, while the block lasts."""
    made = Cable(target)
    server = await asyncio.start_server(made.connected, HOST, 0, limit=PIECE_BYTES, backlog=1024)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
