"""What a request is quoted and what it costs: the price book as tables, and a few rows of them through the gateway."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.control.prices import PriceEntry, set_price
from app.core.catalog import AnswerFacts, Model
from app.core.pricing import PerImage, PerToken, Price, PriceBook, Usage
from app.core.request import ImageRequest, Operation
from app.errors import ModelNotPriced
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.settings import Settings
from app.store.clock import Clock
from app.store.engine import Database
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.money.books import ask, assert_bill_paid, assert_books_agree, opened, the_row, until, used

NOW_MS = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
ZONE = Settings(_env_file=None).zone
TOKENS = PerToken(
    input_text_micros=36_000_000,
    input_image_micros=72_000_000,
    output_micros=288_000_000,
    ceiling_micros_per_image=2_000_000,
)


def price(amount: int | PerToken, *, id: int = 1, from_ms: int = 0, **names: Any) -> Price:
    named = {"operation": None, "size": None, "quality": None} | names
    return Price(
        id=id, model="m", from_ms=from_ms, amount=PerImage(amount) if isinstance(amount, int) else amount, **named
    )


def model(*prices: Price) -> Model:
    every: frozenset[Operation] = frozenset({"generation", "edit"})
    return Model("m", every, (), (), False, 0, PriceBook(prices))


def wanted(
    n: int = 1, size: str | None = None, quality: str | None = None, operation: Operation = "generation", **others: Any
) -> Any:
    return ImageRequest(operation, "m", n, size, quality, False, 0, 5, others)


def answer(images: int = 1, size: str | None = None, quality: str | None = None, usage: Usage | None = None) -> Any:
    return AnswerFacts(images, size, quality, usage)


OTHER: Any = {"options[width]": "9"}
BY_SIZE = model(
    price(100_000, id=1),
    price(300_000, id=2, size="1024x1024"),
    price(500_000, id=3, size="1536x1024"),
    price(700_000, id=4, size="1536x1024", quality="high"),
    price(400_000, id=5, quality="high"),
)
BY_OPERATION = model(
    price(100_000), price(250_000, id=2, operation="edit"), price(90_000, id=3, operation="generation")
)
BY_TOKEN = model(price(TOKENS))
HIGH_ONLY = model(price(400_000, quality="high"), price(100_000, id=2, quality="low"))
TOMORROW = model(
    price(100_000),
    price(200_000, id=2, from_ms=NOW_MS + DAY_MS),
    price(50_000, id=3, from_ms=NOW_MS - DAY_MS, size="s"),
)
WHOLE = Usage(total_tokens=1_500, input_tokens=500, output_tokens=1_000, input_text_tokens=200, input_image_tokens=300)
UNSPLIT = Usage(total_tokens=1_500, input_tokens=500, output_tokens=1_000)


@pytest.mark.parametrize(
    ("of", "request_", "quote", "of_answer", "cost"),
    [
        # One price for everything.
        (model(price(80_000)), wanted(), 80_000, answer(), 80_000),
        (model(price(80_000)), wanted(n=10), 800_000, answer(10), 800_000),
        (model(price(80_000)), wanted(size="16:9", quality="odd"), 80_000, answer(), 80_000),
        (model(price(1)), wanted(n=3), 3, answer(3), 3),
        (model(price(0)), wanted(n=3), 0, answer(3), 0),
        # By size and quality: what is named counts, and the more is named the more it is meant.
        (BY_SIZE, wanted(size="1024x1024", quality="low"), 300_000, answer(), 300_000),
        (BY_SIZE, wanted(size="1536x1024", quality="low"), 500_000, answer(), 500_000),
        (BY_SIZE, wanted(size="1536x1024", quality="high"), 700_000, answer(), 700_000),
        (BY_SIZE, wanted(n=4, size="1536x1024", quality="high"), 2_800_000, answer(4), 2_800_000),
        (BY_SIZE, wanted(size="512x512", quality="low"), 100_000, answer(), 100_000),
        (BY_SIZE, wanted(size="512x512", quality="high"), 400_000, answer(), 400_000),
        # Named equally: the dearer one.
        (BY_SIZE, wanted(size="1024x1024", quality="high"), 400_000, answer(), 400_000),
        # Left open: the dearest is held, and what came is paid.
        *(
            (BY_SIZE, wanted(size=o, quality=o), 700_000, answer(1, "1024x1024", "low"), 300_000)
            for o in (None, "auto", "")
        ),
        (BY_SIZE, wanted(size="auto", quality="low"), 500_000, answer(1, "1536x1024"), 500_000),
        (BY_SIZE, wanted(size="1536x1024"), 700_000, answer(1, None, "medium"), 500_000),
        # Left open by the answer too: the quote, for each image that came.
        (BY_SIZE, wanted(size="1536x1024"), 700_000, answer(), 700_000),
        (BY_SIZE, wanted(), 700_000, answer(1, "auto", "auto"), 700_000),
        (BY_SIZE, wanted(n=2), 1_400_000, answer(3), 2_100_000),
        # Spellings of prices and answers are those of requests.
        (model(price(1), price(9, id=2, size="2k", quality="HD")), wanted(size="2K", quality="hd"), 9, answer(), 9),
        (BY_SIZE, wanted(), 700_000, answer(1, "1024 × 1024", "LOW"), 300_000),
        # A size or quality that no price names may be drawn as a named one: the dearest, unless the answer names another.
        (BY_SIZE, wanted(size="2048x2048", quality="low"), 500_000, answer(), 500_000),
        (BY_SIZE, wanted(size="2048x2048", quality="low"), 500_000, answer(1, "1024x1024"), 300_000),
        (BY_SIZE, wanted(size="1024x1025", quality="low"), 300_000, answer(), 300_000),
        (BY_SIZE, wanted(size="512x512", quality="low"), 100_000, answer(), 100_000),
        (BY_SIZE, wanted(size="16:9", quality="high"), 700_000, answer(), 700_000),
        (BY_SIZE, wanted(size="1024x1024", quality="ultra"), 400_000, answer(), 400_000),
        # Another field may decide the size.
        (BY_SIZE, wanted(size="1024x1024", quality="high", resolution="4K"), 700_000, answer(), 700_000),
        (BY_SIZE, wanted(size="1024x1024", quality="high", config='{"Aspect-Ratio": 1}'), 700_000, answer(), 700_000),
        (BY_SIZE, wanted(size="1024x1024", quality="high", **OTHER), 700_000, answer(), 700_000),
        (BY_SIZE, wanted(size="1024x1024", quality="high", guidance_scale=3), 400_000, answer(), 400_000),
        (BY_SIZE, wanted(size="1024x1024", quality="high", width=9), 700_000, answer(1, "1024x1024"), 400_000),
        (BY_SIZE, wanted(size="1024x1024", quality="low", hd=True), 400_000, answer(), 400_000),
        (BY_TOKEN, wanted(size="16:9", width=9), 2_000_000, answer(usage=UNSPLIT), 500 * 72 + 1_000 * 288),
        # The relay drew something dearer than was asked: that is what it charged.
        (BY_SIZE, wanted(size="1024x1024", quality="low"), 300_000, answer(1, "1536x1024", "high"), 700_000),
        # By operation.
        (BY_OPERATION, wanted(), 90_000, answer(), 90_000),
        (BY_OPERATION, wanted(operation="edit"), 250_000, answer(), 250_000),
        # By token: the ceiling is held, the tokens are paid, rounded up once; without tokens the ceiling, never nothing.
        (BY_TOKEN, wanted(), 2_000_000, answer(usage=WHOLE), 200 * 36 + 300 * 72 + 1_000 * 288),
        (BY_TOKEN, wanted(n=2), 4_000_000, answer(2, usage=WHOLE), 200 * 36 + 300 * 72 + 1_000 * 288),
        (BY_TOKEN, wanted(), 2_000_000, answer(usage=UNSPLIT), 500 * 72 + 1_000 * 288),
        (BY_TOKEN, wanted(), 2_000_000, answer(), 2_000_000),
        (BY_TOKEN, wanted(n=3), 6_000_000, answer(3), 6_000_000),
        (model(price(PerToken(1, 1, 1, 9))), wanted(), 9, answer(usage=Usage(3, 1, 2, 1, 0)), 1),
        (BY_TOKEN, wanted(), 2_000_000, answer(usage=Usage(10_001_000, 1_000, 10_000_000, 1_000, 0)), 2_880_036_000),
        # Fewer than asked: the relay bills the request. With tokens told it bills those.
        (BY_SIZE, wanted(n=4, size="1024x1024", quality="low"), 1_200_000, answer(2), 1_200_000),
        (BY_TOKEN, wanted(n=2), 4_000_000, answer(1, usage=WHOLE), 316_800),
        (BY_TOKEN, wanted(n=2), 4_000_000, answer(1), 4_000_000),
        # An answer that no price covers is paid as quoted.
        (HIGH_ONLY, wanted(n=2), 800_000, answer(2, None, "medium"), 800_000),
        (HIGH_ONLY, wanted(), 400_000, answer(1, None, "low"), 100_000),
        (HIGH_ONLY, wanted(quality="low"), 100_000, answer(), 100_000),
        # Tomorrow's price is not today's.
        (TOMORROW, wanted(), 100_000, answer(), 100_000),
        (TOMORROW, wanted(size="s"), 50_000, answer(), 50_000),
    ],
)
def test_a_request_is_quoted_its_dearest_answer_and_pays_the_one_that_came(
    of: Model, request_: Any, quote: int, of_answer: Any, cost: int
) -> None:
    assert of.quote_micros(request_, NOW_MS) == quote
    assert of.cost_micros(request_, NOW_MS, quote, of_answer) == cost


@pytest.mark.parametrize(
    ("instant_ms", "cost"), [(NOW_MS, 100_000), (NOW_MS + DAY_MS - 1, 100_000), (NOW_MS + DAY_MS, 200_000)]
)
def test_a_request_pays_the_price_of_its_own_instant_however_late_it_is_settled(instant_ms: int, cost: int) -> None:
    assert TOMORROW.quote_micros(wanted(), instant_ms) == cost
    assert TOMORROW.cost_micros(wanted(), instant_ms, cost, answer()) == cost


def test_of_two_prices_of_one_instant_the_later_entry_counts() -> None:
    mended = model(price(100_000, id=1, from_ms=5), price(110_000, id=2, from_ms=5))

    assert mended.quote_micros(wanted(), NOW_MS) == 110_000


@pytest.mark.parametrize(
    ("of", "request_"),
    [
        (model(), wanted()),
        (HIGH_ONLY, wanted(quality="medium")),
        (model(price(100_000, operation="edit")), wanted()),
        (model(price(100_000, from_ms=NOW_MS + 1)), wanted()),
        (model(price(100_000, size="1024x1024")), wanted(size="512x512")),
    ],
)
def test_what_has_no_price_is_refused_with_the_command_that_sets_one(of: Model, request_: Any) -> None:
    with pytest.raises(ModelNotPriced, match="imagegate prices set m --per-image"):
        of.quote_micros(request_, NOW_MS)


# --- through the gateway ---------------------------------------------------------------------------------------------


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
async def market(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway whose prices a test may change."""
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay,
        running_gateway(tmp_path, relay.base_url) as running,
    ):
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


async def test_a_price_that_changes_while_a_request_runs_does_not_change_what_it_costs(market: Running) -> None:
    key = await market.key()
    await market.limit("user", "lin", "micros", "month", 10_000_000)

    async with opened(market.url, key.key) as client:
        running = asyncio.create_task(ask(client, "[[sandbox delay=0.5]] a cat"))
        await until(lambda: holds(market.database))
        await price_now(market.database, PerImage(3_000_000))
        old, new = await running, await ask(client)

    assert [a.headers["x-imagegate-cost"] for a in (old, new)] == ["1.00", "3.00"]
    assert await used(market.database, "lin") == [(4_000_000, 0)]


async def holds(database: Database) -> bool:
    return await used(database, "lin") == [(0, 1_000_000)]


OVER_MIDNIGHT = "[[sandbox delay=0.6]] a cat"


async def test_a_price_of_tomorrow_counts_for_what_is_reserved_from_tomorrow_on(market: Running) -> None:
    key = await market.key()
    now_ms = await market.database.now_ms()
    tomorrow = datetime.fromtimestamp(now_ms / 1000, ZONE).date() + timedelta(days=1)
    midnight_ms = int(datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=ZONE).timestamp() * 1000)
    await price_now(market.database, PerImage(1_500_000), starts=tomorrow.isoformat())

    costs = []
    market.gateway.heartbeat.clock = Clock()  # The beats set another one meanwhile.
    async with opened(market.url, key.key) as client:
        for at_ms, prompt in ((now_ms, "a cat"), (midnight_ms - 300, OVER_MIDNIGHT), (midnight_ms, "a cat")):
            market.gateway.clock.set(at_ms)
            costs.append((await ask(client, prompt)).headers["x-imagegate-cost"])

    assert costs == ["1.00", "1.00", "1.50"]
