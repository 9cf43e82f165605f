"""Four gateway processes on one PostgreSQL: the promises hold where nothing is shared but the database. And the one of SQLite."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from app.sandbox import SandboxOptions, running_sandbox
from app.store.engine import DatabaseUrl, open_database
from tests.gateways import RELAY_KEY, gateway_process, new_key, prepare, set_limit
from tests.money.books import assert_bill_paid, assert_books_agree, assert_nothing_held, used
from tests.money.test_concurrency import Town, assert_shared_out

pytestmark = pytest.mark.slow


@pytest.fixture
async def city(database_where: DatabaseUrl, tmp_path: Path) -> AsyncIterator[Town]:
    """They share a directory, as replicas with shared storage do."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)))
        await prepare(database_where)
        url = None if database_where.path else database_where.url
        starts = [gateway_process(tmp_path, relay.base_url, database_url=url) for _ in range(4 if url else 1)]
        processes = [await stack.enter_async_context(start) for start in starts]
        database = open_database(database_where)
        stack.push_async_callback(database.close)
        yield Town([process.url for process in processes], database, relay, [0])


async def test_1000_at_once_against_a_spend_limit_for_100_buy_exactly_100(city: Town) -> None:
    key = await new_key(city.database, "lin")
    await set_limit(city.database, "user", "lin", "micros", "month", 100_000_000)

    answers = await city.ask_all(key.key, 1000)

    assert_shared_out(answers, 100)
    assert len(city.relay.sandbox.bill) == 100
    assert await used(city.database, "lin") == [(100_000_000, 0)]
    await assert_books_agree(city.database)
    await assert_nothing_held(city.database)
    await assert_bill_paid(city.database, city.relay)


async def test_50_duplicates_at_once_and_50_later_of_one_keyed_edit_are_one_purchase(city: Town) -> None:
    key = await new_key(city.database, "lin")
    picture = await a_picture(city.urls[0], key.key)
    charged = len(city.relay.sandbox.bill)

    at_once = await edits(city.urls, key.key, picture, 50)
    later = await edits(city.urls, key.key, picture, 50)

    assert Counter(status for status, _ in at_once + later) == {200: 100}
    assert len({digest for _, digest in at_once + later}) == 1
    assert len(city.relay.sandbox.bill) - charged == 1
    await assert_books_agree(city.database)


async def a_picture(url: str, key: str) -> bytes:
    headers, body = {"Authorization": f"Bearer {key}"}, {"prompt": "a lighthouse"}
    async with aiohttp.request("POST", f"{url}/v1/images/generations", json=body, headers=headers) as answer:
        return base64.b64decode((await answer.json())["data"][0]["b64_json"])


async def edits(urls: list[str], key: str, picture: bytes, count: int) -> list[tuple[int, str]]:
    """Status and SHA-256 of the body of each answer."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "the-one-edit"}

    async def edit(number: int, http: aiohttp.ClientSession) -> tuple[int, str]:
        form = aiohttp.FormData()
        form.add_field("prompt", "at night [[sandbox delay=1]]")
        form.add_field("image", picture, filename=f"{number}.png", content_type="image/png")
        async with http.post(f"{urls[number % len(urls)]}/v1/images/edits", data=form) as answer:
            return answer.status, hashlib.sha256(await answer.read()).hexdigest()

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        return await asyncio.gather(*(edit(number, http) for number in range(count)))
