"""Prices: the quote of a request and the cost of its answer."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.core.catalog import AnswerFacts, Model
from app.core.pricing import PerImage, PerToken, Price, PriceBook, Usage
from app.core.request import ImageRequest, Operation
from app.errors import ModelNotPriced

NOW_MS = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp() * 1000)
DAY_MS = 86_400_000
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
        (BY_SIZE, wanted(size="1024x1024", quality="hd"), 400_000, answer(), 400_000),
        (BY_SIZE, wanted(size="0x0", quality="high"), 700_000, answer(), 700_000),
        (BY_SIZE, wanted(size="1024x1024", quality="high", any={"size": "4K"}), 700_000, answer(), 700_000),
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
