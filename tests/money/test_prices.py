"""What a request is quoted and what it costs: requests through the gateway."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.control.prices import PriceEntry, set_price
from app.core.pricing import PerImage, PerToken
from app.sandbox import RunningSandbox
from app.settings import Settings
from app.store.clock import Clock
from app.store.engine import Database
from tests.faults.given import is_in
from tests.gateways import Running, running_gateway
from tests.held import HELD, answering
from tests.money.books import ask, assert_bill_paid, assert_books_agree, opened, the_row, until, used

ZONE = Settings(_env_file=None).zone
TOKENS = PerToken(
    input_text_micros=36_000_000,
    input_image_micros=72_000_000,
    output_micros=288_000_000,
    ceiling_micros_per_image=2_000_000,
)


@pytest.mark.parametrize(
    ("model", "cost"), [("gpt-image-1", "1.00"), ("seedream-3.0", "0.08"), ("flux-kontext-pro", "0.20"),
                        ("flux-kontext-max", "0.40")],
)  # fmt: skip
async def test_every_seeded_price_is_what_the_relay_charges(
    shop: Running, shared_relay: RunningSandbox, name: str, model: str, cost: str
) -> None:
    key = await shop.key(name)

    async with opened(shop.url, key.key) as client:
        answer = await ask(client, model=model, n=1)

    assert (answer.status_code, answer.headers["x-imagegate-cost"]) == (200, cost)
    assert answer.headers["x-imagegate-currency"] == "CNY"
    assert shared_relay.sandbox.bill[-1].micros == (await the_row(shop.database, answer))["cost_micros"]
    await assert_bill_paid(shop.database, shared_relay)


async def test_a_model_of_the_catalog_without_a_price_is_refused_and_one_outside_of_it_is_not_there(
    shop: Running, shared_relay: RunningSandbox, name: str
) -> None:
    key = await shop.key(name)
    asked = len(shared_relay.sandbox.seen)

    async with opened(shop.url, key.key) as client:
        unpriced, absent = await ask(client, model="imagen4"), await ask(client, model="dall-e-9")

    assert (unpriced.status_code, unpriced.json()["error"]["code"]) == (400, "model_not_priced")
    assert "imagegate prices set imagen4" in unpriced.json()["error"]["message"]
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "model_not_found")
    assert len(shared_relay.sandbox.seen) == asked


@pytest.fixture
async def market(relay: RunningSandbox, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway whose prices a test may change."""
    async with running_gateway(tmp_path, relay.base_url) as running:
        yield running


async def price_now(database: Database, amount: PerImage | PerToken, **named: Any) -> None:
    await set_price(database, ZONE, PriceEntry("gpt-image-1", amount, **named))


async def test_tokens_that_the_relay_tells_are_what_is_paid(market: Running) -> None:
    key = await market.key()
    await price_now(market.database, TOKENS)
    await market.limit("user", "lin", "micros", "month", 10_000_000)

    async with opened(market.url, key.key) as client:
        told = await ask(client, "[[sandbox tokens=200:300:1000]] a cat")
        untold = await ask(client, "[[sandbox body=no_usage]] a cat")
        half = await ask(client, "[[sandbox body=half_usage]] a cat")

    paid = [(await the_row(market.database, answer))["cost_micros"] for answer in (told, untold, half)]
    assert paid == [316_800, 2_000_000, 2_000_000]
    assert told.headers["x-imagegate-cost"] == "0.3168"
    row = await the_row(market.database, told)
    assert (row["quote_micros"], row["input_tokens"], row["output_tokens"]) == (2_000_000, 500, 1_000)
    assert await used(market.database, "lin") == [(4_316_800, 0)]


async def test_size_and_quality_of_the_answer_set_the_price_and_an_open_wish_holds_the_dearest(market: Running) -> None:
    key = await market.key()
    await price_now(market.database, PerImage(500_000), size="1536x1024")
    await price_now(market.database, PerImage(2_000_000), size="1536x1024", quality="high")
    await market.limit("user", "lin", "micros", "month", 3_000_000)
    drawn = "[[sandbox size=1536x1024 quality=low]] a cat"

    async with opened(market.url, key.key) as client:
        absent = await ask(client, drawn)
        auto = await ask(client, drawn, size="auto", quality="auto")
        refused = await ask(client, drawn, n=2, size="auto")
        named = await ask(client, drawn, n=2, size="1536x1024", quality="low")

    rows = [await the_row(market.database, answer) for answer in (absent, auto, named)]
    assert [(row["quote_micros"], row["cost_micros"]) for row in rows] == [
        (2_000_000, 500_000),
        (2_000_000, 500_000),
        (1_000_000, 1_000_000),
    ]
    assert {(row["size"], row["quality"]) for row in rows} == {("1536x1024", "low")}
    assert "may need 4.00 CNY" in refused.json()["error"]["message"]
    await assert_books_agree(market.database)


async def test_a_price_that_changes_while_a_request_runs_does_not_change_what_it_costs(
    market: Running, relay: RunningSandbox
) -> None:
    key = await market.key()
    await market.limit("user", "lin", "micros", "month", 10_000_000)

    async with opened(market.url, key.key) as client:
        running = asyncio.create_task(ask(client, HELD))
        await until(lambda: holds(market.database))
        await price_now(market.database, PerImage(3_000_000))
        with answering(relay):
            old, new = await running, await ask(client)

    assert [a.headers["x-imagegate-cost"] for a in (old, new)] == ["1.00", "3.00"]
    assert await used(market.database, "lin") == [(4_000_000, 0)]


async def holds(database: Database) -> bool:
    return await used(database, "lin") == [(0, 1_000_000)]


async def test_a_price_of_tomorrow_counts_for_what_is_reserved_from_tomorrow_on(
    market: Running, relay: RunningSandbox
) -> None:
    key = await market.key()
    now_ms = await market.database.now_ms()
    tomorrow = datetime.fromtimestamp(now_ms / 1000, ZONE).date() + timedelta(days=1)
    midnight_ms = int(datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZONE).timestamp() * 1000)
    await price_now(market.database, PerImage(1_500_000), starts=tomorrow.isoformat())

    market.gateway.heartbeat.clock = Clock()  # The beats set another one meanwhile.
    async with opened(market.url, key.key) as client:
        market.gateway.clock.set(midnight_ms - 60_000)
        over_midnight = asyncio.create_task(ask(client, HELD))
        await until(lambda: is_in(market.database, "dispatched"))
        market.gateway.clock.set(midnight_ms)
        with answering(relay):
            answers = [await over_midnight, await ask(client)]

    assert [answer.headers["x-imagegate-cost"] for answer in answers] == ["1.00", "1.50"]
