"""A relay on a raw socket that does to each request exactly what its script says."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """What came, and the connection it came on; `connection` counts from 0."""

    head: str
    body: bytes
    connection: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def line(self) -> str:
        return self.head.split("\r\n")[0]

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.split(": ", 1) for line in self.head.split("\r\n")[1:])
        return {name.lower(): value for name, value in pairs}

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(
        self, body: bytes, status: str = "200 OK", headers: str = "Content-Type: application/json"
    ) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n\r\n"
        await self.send(head.encode() + body)

    async def answer_json(self, document: Any, status: str = "200 OK") -> None:
        await self.answer(json.dumps(document).encode(), status)

    def reset(self) -> None:
        """Close with RST: nothing that waits to be read at the other end survives."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Request], Awaitable[None]]


async def reset(request: Request) -> None:
    request.reset()


async def hang_up(request: Request) -> None:
    request.writer.close()


async def hang(request: Request) -> None:
    await request.reader.read()


async def garbage(request: Request) -> None:
    await request.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


@dataclass
class RawServer:
    """`script` holds one step for each request to come; the connection is kept until a step closes it."""

    url: str
    script: list[Script] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        try:
            while not writer.is_closing():
                request = await _read(reader, writer, number)
                self.requests.append(request)
                await self.script[len(self.requests) - 1](request)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
    request = Request(head, b"", number, reader, writer)
    request.body = await reader.readexactly(int(request.headers.get("content-length", "0")))
    return request


@contextlib.asynccontextmanager
async def running_raw_server() -> AsyncIterator[RawServer]:
    server = RawServer("")
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(server.serve(reader, writer)))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # a closed transport lets go of its socket in the loop's next turn
