"""A gateway with an office in front of it: whoever calls the administration API, with the key that makes them who they are."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.control.admin_keys import NewAdminKey, create_admin_key
from app.sandbox import RunningSandbox
from app.store.engine import Database
from tests.gateways import PEPPER, Running, running_gateway

ROOT = "/v1/organization"


@dataclass(frozen=True, slots=True)
class Office:
    """`running` is the gateway; paths of calls begin after /v1/organization."""

    running: Running
    http: httpx2.AsyncClient
    owner: str
    owner_id: str

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **query: Any
    ) -> httpx2.Response:
        """As the owner, unless `key` says otherwise; an empty key is none at all."""
        secret = self.owner if key is None else key
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return await self.http.request(method, ROOT + path, json=body, headers=headers, params=query or None)

    async def get(self, path: str, **query: Any) -> Any:
        return _ok(await self.call("GET", path, **query))

    async def post(self, path: str, **fields: Any) -> Any:
        return _ok(await self.call("POST", path, fields))

    async def delete(self, path: str) -> Any:
        return _ok(await self.call("DELETE", path))

    async def refused(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, str, str | None]:
        """Status, code and param of a refusal."""
        answer = await self.call(method, path, body, **query)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error["param"]

    async def reader(self) -> str:
        """A key that may look and not change."""
        return str((await self.post("/admin_api_keys", name="looks", role="reader"))["value"])

    async def image(self, key: str) -> int:
        """The status of buying an image with an API key."""
        body = {"model": "seedream-3.0", "prompt": "a lighthouse"}
        headers = {"Authorization": f"Bearer {key}"}
        return (await self.http.post("/v1/images/generations", json=body, headers=headers)).status_code

    async def comes_to(self, status: int, key: str) -> bool:
        """Buy images with an API key until the answer has this status: what a gateway knows of a key is half a second old."""
        async with asyncio.timeout(30):
            while await self.image(key) != status:
                await asyncio.sleep(0.02)
        return True

    async def events(self, **query: Any) -> list[tuple[str, str]]:
        """Event and target of every logged change that matches, oldest first."""
        found = await self.get("/audit_logs", limit=100, **query)
        return [(each["event"], each[each["event"]]["id"]) for each in reversed(found["data"])]


@pytest.fixture
async def office(tmp_path: Path, relay: RunningSandbox, database: Database) -> AsyncIterator[Office]:
    """On each database, with nothing in it but the owner's admin API key."""
    unguarded: Any = {"guard_admin_per_minute": 100_000, "guard_bad_keys_per_minute": 100_000}
    url = database.where.url or None
    async with running_gateway(tmp_path, relay.base_url, database_url=url, **unguarded) as running:
        created = await create_admin_key(running.database, PEPPER, NewAdminKey("the owner's"))
        async with httpx2.AsyncClient(base_url=running.url, verify=False, timeout=30) as http:
            yield Office(running, http, created.key, created.id)


def _ok(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()
