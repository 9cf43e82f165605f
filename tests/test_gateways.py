"""The gateway end to end: a picture, its price, what is left."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl
from tests.gateways import Running, running_gateway


@pytest.fixture
async def running(tmp_path: Path, database_where: DatabaseUrl, relay: RunningSandbox) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, relay.base_url, database_url=database_where.url or None) as gateway:
        yield gateway


async def test_a_picture_is_bought_once_and_booked_to_the_micro(running: Running, relay: RunningSandbox) -> None:
    key = await running.key("lin")
    await running.limit("user", "lin", "micros", "month", 5_000_000)

    async with httpx2.AsyncClient(base_url=running.url, headers={"Authorization": f"Bearer {key.key}"}) as client:
        answer = await client.post("/v1/images/generations", json={"prompt": "a cat", "model": "gpt-image-1"})

    assert answer.status_code == 200, answer.text
    assert base64.b64decode(answer.json()["data"][0]["b64_json"]).startswith(b"\x89PNG")
    assert answer.headers["x-imagegate-cost"] == "1.00"
    assert answer.headers["x-imagegate-spend-remaining"] == "4.00"
    [row] = await running.rows()
    assert (row["state"], row["cost_micros"], row["images"], row["http_status"]) == ("settled", 1_000_000, 1, 200)
    [counter] = await running.counters()
    assert (counter["spent"], counter["held"]) == (1_000_000, 0)
    assert len(relay.sandbox.bill) == 1
