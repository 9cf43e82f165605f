"""A gateway that refuses what a test sends it, through a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from app.control.keys import CreatedKey
from app.sandbox import RunningSandbox
from tests.gateways import Running

BODY = json.dumps({"model": "gpt-image-1", "prompt": "a cat"}).encode()


@dataclass(frozen=True, slots=True)
class Door:
    running: Running
    relay: RunningSandbox
    key: CreatedKey

    @asynccontextmanager
    async def untouched(self) -> AsyncIterator[None]:
        """Whatever happens in the block, the relay is not called and nothing is written down."""
        seen, rows = len(self.relay.sandbox.seen), len(await self.running.rows())
        yield
        assert (len(self.relay.sandbox.seen), len(await self.running.rows())) == (seen, rows)
        assert all(counter["held"] == 0 for counter in await self.running.counters())

    async def talk(self, *pieces: bytes) -> bytes:
        """Write piece by piece; what comes back until the gateway closes or 30 s have passed."""
        host, port = self.running.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        answer = bytearray()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(30):
                while data := await reader.read(65536):
                    answer += data
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return bytes(answer)


def assert_refused(answer: httpx2.Response, status: int, code: str) -> None:
    """In OpenAI's shape, to be traced by its id, and not worth another try."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert error["message"]
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-should-retry"] == "false"
