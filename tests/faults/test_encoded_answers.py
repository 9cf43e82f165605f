"""Answers that come encoded although identity was asked for: kept and booked; a bomb is cut at the cap, in flat memory."""

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.gateways import Running, running_gateway
from tests.money.books import ask, opened
from tests.upstream.encodings import ENCODERS, bomb
from tests.upstream.raw_server import RawServer, Request, running_raw_server

MIB = 1024 * 1024
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(6 * MIB)).decode()


@pytest.fixture
async def raw_relay() -> AsyncIterator[RawServer]:
    async with running_raw_server() as server:
        yield server


@pytest.fixture
async def gateway(raw_relay: RawServer, tmp_path: Path) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, raw_relay.url, upstream_answer_bytes_max=64 * MIB) as running:
        yield running


async def buy(gateway: Running, relay: RawServer, body: bytes, encoding: str) -> httpx2.Response:
    async def step(request: Request) -> None:
        headers = f"Content-Type: application/json\r\nContent-Encoding: {encoding}"
        await request.answer(body, headers=headers)

    relay.script.append(step)
    async with opened(gateway.url, (await gateway.key()).key) as client:
        return await ask(client)


@pytest.mark.parametrize("name", ["gzip", "deflate", "br", "zstd"])
async def test_an_encoded_answer_of_8_mib_arrives_and_is_settled(
    gateway: Running, raw_relay: RawServer, name: str
) -> None:
    encoding, encode = ENCODERS[name]
    body = json.dumps({"created": 1, "data": [{"b64_json": PICTURE}]}).encode()

    answer = await buy(gateway, raw_relay, encode(body), encoding)

    assert answer.json()["data"][0]["b64_json"] == PICTURE
    assert "content-encoding" not in answer.headers
    [row] = await gateway.rows()
    assert (row["state"], row["cost_micros"]) == ("settled", 1_000_000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
async def test_an_answer_of_a_gigabyte_is_cut_at_the_cap_in_flat_memory(
    gateway: Running, raw_relay: RawServer, encoding: str
) -> None:
    body = bomb(encoding)
    process = psutil.Process()
    before = peak = process.memory_info().rss

    buying = asyncio.create_task(buy(gateway, raw_relay, body, encoding))
    while not buying.done():
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.01)
    answer = buying.result()

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (424, "upstream_outcome_unknown")
    assert f"larger than {64 * MIB} bytes" in error["message"]
    assert (peak - before) / MIB < 48
    [row] = await gateway.rows()
    assert row["state"] == "unknown"
