"""A client of the image API that repeats itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from app.control.keys import CreatedKey
from app.sandbox import RunningSandbox
from tests.gateways import Running

SMALL = {"model": "seedream-3.0", "prompt": "a lighthouse"}
"""Its answer is a url: it is kept in the row."""
LARGE = {"model": "gpt-image-1", "prompt": "a lighthouse"}
"""Its answer is a picture: it is kept in a file."""


@dataclass
class Client:
    """One API key, as it is used over a socket."""

    http: httpx2.AsyncClient
    key: CreatedKey
    relay: RunningSandbox
    gateway: Running

    async def ask(
        self, body: dict[str, Any], *, key: str | None = None, retry: int | None = None, **headers: str
    ) -> httpx2.Response:
        given = {"Authorization": f"Bearer {self.key.key}"} | {
            name.replace("_", "-"): text for name, text in headers.items()
        }
        if key is not None:
            given["Idempotency-Key"] = key
        if retry is not None:
            given["x-stainless-retry-count"] = str(retry)
        return await self.http.post("/v1/images/generations", json=body, headers=given)

    async def get(self, path: str) -> httpx2.Response:
        return await self.http.get(path, headers={"Authorization": f"Bearer {self.key.key}"})

    @property
    def charges(self) -> int:
        return len(self.relay.sandbox.bill)

    async def states(self) -> list[str]:
        return sorted(row["state"] for row in await self.gateway.rows())


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.01)
