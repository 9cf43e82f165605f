"""A relay that answers with links to pictures, and what its links lead to."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.upstream.raw_server import RawServer, Request, running_raw_server

PNG = (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\0\0\0\x01\0\x08\x02\0\0\0" + bytes(range(256)) * 300)[:60_000]


@asynccontextmanager
async def linking_relay(*items: str | dict[str, str]) -> AsyncIterator[RawServer]:
    """A relay that answers with these links or items, where `{}` is its own address; then with what the test adds to its script."""
    async with running_raw_server() as server:

        async def step(request: Request) -> None:
            data = [{"url": item} if isinstance(item, str) else item for item in items]
            await request.answer(json.dumps({"created": 1, "data": data}).replace("{}", server.url).encode())

        server.script = [step]
        yield server


async def picture(request: Request) -> None:
    await request.answer(PNG, headers="Content-Type: text/html")


async def page(request: Request) -> None:
    await request.answer(b"<html>no picture</html>", headers="Content-Type: image/png")


async def base64_answer(request: Request) -> None:
    await request.answer_json({"created": 1, "data": [{"b64_json": base64.b64encode(PNG).decode()}]})


async def gone(request: Request) -> None:
    await request.answer(b"", "404 Not Found")
