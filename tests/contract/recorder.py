"""A relay of bytes between clients and a gateway, which notes each request as it came through the socket.

The first call of each real client lies in `recorded/`, its head with line feeds alone, and this host and this key in
place of the true ones.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"
HOST, KEY = b"127.0.0.1:8000", b"sk-ig-key"
CHUNKS_END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Recorder:
    """`url` stands for the gateway's; `requests` are head and body as bytes, in the order in which they came."""

    url: str
    requests: list[bytes] = field(default_factory=list)

    def first(self, mark: str) -> bytes:
        """Return the first request with this in it. Raises AssertionError where none has."""
        found = [request for request in self.requests if mark.encode() in request]
        assert found, f"no request with {mark!r} came"
        return found[0]


def keep(name: str, request: bytes) -> None:
    head, end, body = request.partition(b"\r\n\r\n")
    (RECORDED / f"{name}.http").write_bytes((head + end).replace(b"\r\n", b"\n") + body)


def kept(name: str) -> bytes:
    """Return a recorded call as bytes for a socket."""
    head, end, body = (RECORDED / f"{name}.http").read_bytes().partition(b"\n\n")
    return (head + end).replace(b"\n", b"\r\n") + body


@asynccontextmanager
async def recording(gateway_url: str) -> AsyncIterator[Recorder]:
    host, port = gateway_url.removeprefix("http://").split(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, sending = await asyncio.open_connection(host, int(port))
        back = asyncio.create_task(_copy(answers, writer))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await _request(reader)
                recorder.requests.append(request)
                sending.write(request)
        sending.close()
        await back

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    recorder = Recorder(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield recorder


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if re.search(rb"\r\ntransfer-encoding: *chunked", head, re.IGNORECASE):
        return head + await reader.readuntil(CHUNKS_END)
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return head + await reader.readexactly(int(length[1]) if length else 0)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
