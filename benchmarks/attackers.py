"""The crowds of `bench crowds`, a process of their own: `python -m benchmarks.attackers CROWD` reads a Scene from stdin."""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import uvloop

from app.core.keys import new_key

HOST = "127.0.0.1"
BACK_S = 5.0
"""Seconds after which an attacker that was answered comes back."""
SMALL = {"model": "seedream-3.0", "prompt": "a lighthouse"}
Attacker = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scene:
    """Address and keys that a crowd needs: `key` may buy, `empty_key` has a spend limit of zero."""

    port: int
    key: str
    empty_key: str


def attack(crowd: str) -> None:
    """Be the crowd against the scene that stdin describes, until the process is ended."""
    os.nice(19)  # A crowd elsewhere takes none of the gateway's processors.
    scene = Scene(**json.loads(sys.stdin.readline()))
    names = [*CROWDS] if crowd == "all" else [crowd]
    uvloop.run(_together([attacker for name in names for attacker in CROWDS[name](scene)]))


async def _together(attackers: list[Attacker]) -> None:
    await asyncio.gather(*(_again(attacker) for attacker in attackers))


async def _again(attacker: Attacker) -> None:
    await asyncio.sleep(random.random() * BACK_S)
    while True:
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            await attacker()
        await asyncio.sleep(BACK_S)


def _head(scene: Scene, key: str, more: str) -> bytes:
    return (
        (f"POST /v1/images/{more}\r\nHost: {HOST}:{scene.port}\r\nAuthorization: Bearer {key}\r\n")
        .replace("\r\n", " HTTP/1.1\r\n", 1)
        .encode()
    )


@asynccontextmanager
async def _connection(scene: Scene) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, scene.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def _forged_keys(scene: Scene) -> list[Attacker]:
    async def ask() -> None:
        key = new_key().secret
        async with _connection(scene) as (reader, writer):
            while True:
                body = json.dumps(SMALL).encode()
                length = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(_head(scene, key, "generations") + length.encode() + body)
                await reader.readuntil(b"\r\n\r\n")
                await reader.read(4096)
                await asyncio.sleep(BACK_S)

    return [ask] * 500


def _unfinished_bodies(scene: Scene) -> list[Attacker]:
    return [lambda: _unfinished(scene, scene.key, "generations", "application/json", b'{"prompt":"', 1_000_000)] * 800


def _unfinished_uploads(scene: Scene) -> list[Attacker]:
    begun = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n\x89PNG\r\n\x1a\n'
    kind = "multipart/form-data; boundary=x"
    return [lambda: _unfinished(scene, scene.empty_key, "edits", kind, begun, 30_000_000)] * 5


async def _unfinished(scene: Scene, key: str, path: str, kind: str, begun: bytes, bytes_max: int) -> None:
    """Send nearly all of a body as fast as it is taken, then hold the connection until the gateway closes it."""
    async with _connection(scene) as (reader, writer):
        head = f"Content-Type: {kind}\r\nContent-Length: {bytes_max}\r\n\r\n"
        writer.write(_head(scene, key, path) + head.encode() + begun)
        answered = asyncio.ensure_future(reader.read(1))
        sent, piece = len(begun), b"x" * 64_000
        while sent + len(piece) < bytes_max and not answered.done():
            writer.write(piece)
            sent += len(piece)
            await writer.drain()
        await answered


def _hanging_calls(scene: Scene) -> list[Attacker]:
    async def hang() -> None:
        body = json.dumps(SMALL | {"prompt": "never [[sandbox hang=true]]"}).encode()
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        async with _connection(scene) as (reader, writer):
            writer.write(_head(scene, scene.key, "generations") + head.encode() + body)
            await reader.read(1)

    return [hang] * 20


def _endless_head(scene: Scene) -> list[Attacker]:
    async def send() -> None:
        async with _connection(scene) as (reader, writer):
            writer.write(b"GET /v1/models HTTP/1.1\r\nx-endless: ")
            answered = asyncio.ensure_future(reader.read(1))
            while not answered.done():
                writer.write(b"x" * 64_000)
                await writer.drain()

    return [send]


CROWDS: dict[str, Callable[[Scene], list[Attacker]]] = {
    "keys": _forged_keys,
    "bodies": _unfinished_bodies,
    "uploads": _unfinished_uploads,
    "calls": _hanging_calls,
    "head": _endless_head,
}


if __name__ == "__main__":
    attack(sys.argv[1])
