"""A tiny application around the readers of bodies, served by uvicorn over a real socket, and a client that writes bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from app.api.body import BodyCaps, read_edit, read_generation, read_variation
from app.api.errors import install_error_handlers
from app.api.middleware import wrap
from app.api.paths import ClientPaths
from app.core.request import ImageRequest


@dataclass
class Door:
    """Where the server listens, and every request that was read to its end."""

    port: int = 0
    accepted: list[ImageRequest] = field(default_factory=list)

    async def talk(self, *data: bytes) -> bytes:
        """Write each piece as a packet of its own, and read until the server closes or has been silent after its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            try:
                for piece in data:
                    writer.write(piece)
                    await writer.drain()
            except ConnectionError:
                pass  # The server may answer and close before it has everything.
            return await _read_answer(reader)
        finally:
            writer.close()

    async def post(self, path: str, content_type: str | None, body: bytes, *headers: str) -> bytes:
        lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Connection: close", *headers]
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}")
        return await self.talk("\r\n".join(lines).encode() + b"\r\n\r\n", body)


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    try:
        async with asyncio.timeout(30):
            while piece := await reader.read(65536):
                answer += piece
    except (TimeoutError, ConnectionError):
        pass
    return bytes(answer)


def tiny_app(door: Door, caps: BodyCaps, cors_origins: Sequence[str]) -> ASGIApp:
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    install_error_handlers(app)

    def taker(read: Callable[[Request, BodyCaps], Awaitable[ImageRequest]]) -> Callable[[Request], Awaitable[Response]]:
        async def take(request: Request) -> Response:
            wanted = await read(request, caps)
            door.accepted.append(wanted)
            wanted.close()
            return JSONResponse({"n": wanted.n, "model": wanted.model})

        return take

    async def fail(_: Request) -> Response:
        raise RuntimeError("secret detail")

    for name, read in (("generations", read_generation), ("edits", read_edit), ("variations", read_variation)):
        app.router.add_route(f"/v1/images/{name}", taker(read), methods=["POST"])
    app.router.add_route("/fail", fail, methods=["GET"])

    @app.get("/typed")
    async def typed(limit: int) -> dict[str, Any]:
        return {"limit": limit}

    return wrap(ClientPaths(app, ["/v1/images"]), cors_origins=cors_origins)


@asynccontextmanager
async def serving(caps: BodyCaps, cors_origins: Sequence[str] = ()) -> AsyncIterator[Door]:
    door = Door()
    config = uvicorn.Config(
        tiny_app(door, caps, cors_origins),
        host="127.0.0.1",
        port=0,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
    )
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    sock.listen()  # From here on a connection waits until the server takes it.
    door.port = sock.getsockname()[1]
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield door
    finally:
        server.should_exit = True
        server.force_exit = True
        await task
