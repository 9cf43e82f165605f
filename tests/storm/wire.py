"""One exchange on the side of the storm's relay, and how its bytes are sent or cut off."""

import json
import random
import socket
import struct
from asyncio import StreamWriter
from dataclasses import dataclass
from typing import Any

from tests.storm.pictures import Asked


@dataclass(frozen=True, slots=True)
class Wire:
    """Connection of a request, and the chance that decides about its answer. `id` is the relay's own id of the request."""

    asked: Asked
    random: random.Random
    writer: StreamWriter
    port: int
    id: str = ""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST: nothing that waits to be read at the other end survives."""
        reset(self.writer)

    def head(self, status: str, content_type: str, headers: str = "") -> bytes:
        return head(status, content_type, headers + (f"X-Oneapi-Request-Id: {self.id}\r\n" if self.id else ""))

    async def answer(self, status: str, body: bytes, content_type: str = "application/json", headers: str = "") -> None:
        await self.send(self.head(status, content_type, f"Content-Length: {len(body)}\r\n{headers}") + body)

    async def answer_json(self, document: Any, status: str = "200 OK", headers: str = "") -> None:
        await self.answer(status, json.dumps(document).encode(), headers=headers)


def head(status: str, content_type: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{headers}\r\n".encode()


def reset(writer: StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
