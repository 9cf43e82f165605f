"""The relay of the benchmarks, a process of its own: `python -m benchmarks.upstream [CERTIFICATE]`.

It prints its ports: that of HTTP, and with a certificate, whose key lies beside it, that of HTTPS. Then each line on stdin
says how to answer from now on, and is answered with what has come since the last one.
"""

import asyncio
import base64
import json
import ssl
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.http import Message
from benchmarks.scenarios import RelayBehaviour, picture

DRIPS_PER_S = 10
SMALL_BYTES = 300
_BEFORE = b'"b64_json": "'
_HEADER_DIGITS = 64
"""Digits of base64 that the header of a picture takes, and more."""
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@dataclass(slots=True)
class ReceivedRequests:
    """Requests received: POSTs, and the bytes of their bodies."""

    calls: int = 0
    body_bytes: int = 0


class Relay:
    """Answers every POST in one manner."""

    def __init__(self) -> None:
        self.heard = ReceivedRequests()
        self.behave(RelayBehaviour())

    def behave(self, manner: RelayBehaviour) -> ReceivedRequests:
        """Set the behaviour; return the requests received until now."""
        self.manner, heard, self.heard = manner, self.heard, ReceivedRequests()
        self.answer = memoryview(_response(image_answer(manner.image_bytes)))
        self._picture = picture(manner.image_bytes or SMALL_BYTES, seed=0)
        return heard

    def next_answer(self, port: int) -> memoryview:
        """Return the answer to a request; links lead to `port` of this machine."""
        if self.manner.linked:
            item = {"url": f"http://127.0.0.1:{port}/pictures/{self.heard.calls}"}
            return memoryview(_response(json.dumps({"created": 1_796_083_200, "data": [item]}).encode()))
        if not self.manner.unique:
            return self.answer
        answer = bytearray(self.answer)
        at = answer.index(_BEFORE) + len(_BEFORE) + _HEADER_DIGITS
        answer[at : at + 8] = b"%08d" % self.heard.calls
        return memoryview(answer)

    def picture_at(self, path: bytes) -> bytes:
        """Return the response with the picture that a link leads to: its last bytes are the end of its address."""
        return _response(self._picture[:-8] + path[-8:].rjust(8), b"image/png")


class Exchange(asyncio.Protocol):
    """One connection to the relay."""

    def __init__(self, relay: Relay):
        self._relay = relay
        self._message = Message()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._message.takes(data):
            message, self._message = self._message, Message()
            self._respond(message)

    def _respond(self, message: Message) -> None:
        if message.first_line.startswith(b"GET /pictures/"):
            self._transport.write(self._relay.picture_at(message.first_line.split()[1]))
            return
        if not message.first_line.startswith(b"POST "):
            self._transport.write(_NOT_FOUND)  # The gateway asks for the relay's log now and then.
            return
        relay = self._relay
        relay.heard.calls += 1
        relay.heard.body_bytes += message.body_bytes
        if not relay.manner.delay_s and not relay.manner.drip_s:
            self._transport.write(relay.next_answer(self._transport.get_extra_info("sockname")[1]))
            return
        drips = max(1, round(relay.manner.drip_s * DRIPS_PER_S))
        width = -(-len(relay.answer) // drips)
        loop = asyncio.get_running_loop()
        for number in range(drips):
            drip = relay.answer[number * width : (number + 1) * width]
            loop.call_later(relay.manner.delay_s + number / DRIPS_PER_S, self._drip, drip)

    def _drip(self, drip: memoryview) -> None:
        if not self._transport.is_closing():  # Who hangs up has been heard all the same.
            self._transport.write(drip)


def image_answer(image_bytes: int) -> bytes:
    """The body of an answer with one image, of SMALL_BYTES where `image_bytes` is 0."""
    item = {"b64_json": base64.b64encode(picture(image_bytes or SMALL_BYTES, seed=0)).decode()}
    return json.dumps({"created": 1_796_083_200, "data": [item]}).encode()


def _response(body: bytes, content_type: bytes = b"application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (content_type, len(body)) + body


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


async def _serve(certificates: list[str]) -> None:
    relay, loop = Relay(), asyncio.get_running_loop()
    secured = [None, *(_tls(Path(certificate)) for certificate in certificates)]
    servers = [
        await loop.create_server(lambda: Exchange(relay), "127.0.0.1", 0, backlog=2048, ssl=context)
        for context in secured
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(asdict(relay.behave(RelayBehaviour(**json.loads(line))))), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1:]))
