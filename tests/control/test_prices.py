"""Prices, and with them the catalog."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.control import prices
from app.control.price_sync import SyncedModels, relay_offer
from app.control.prices import ListedPrice, PriceEntry
from app.core.intervals import local_day
from app.core.pricing import PerImage, PerToken
from app.core.relays import FACTOR_ONE, Relay
from app.errors import InvalidValue
from app.store.engine import Database
from app.upstream.pricing import RelayPrices, TokenPrices

ZONE = ZoneInfo("Asia/Shanghai")


async def set_price(database: Database, model: str = "gpt-image-1", micros: int = 5, **given: Any) -> ListedPrice:
    return await prices.set_price(database, ZONE, PriceEntry(model, given.pop("amount", PerImage(micros)), **given))


async def of(database: Database, model: str) -> list[ListedPrice]:
    return [listed for listed in await prices.list_prices(database) if listed.model == model]


async def tomorrow(database: Database) -> str:
    now = datetime.fromtimestamp(await database.now_ms() / 1000, UTC) + timedelta(days=1)
    return local_day(int(now.timestamp() * 1000), ZONE)


async def test_a_new_price_takes_the_place_of_the_old_one_from_now_on(database: Database) -> None:
    before_ms = await database.now_ms()
    new = await set_price(database)

    listed = await of(database, "gpt-image-1")
    assert [(row.price.amount, row.in_force) for row in listed if row.price] == [
        (PerImage(1_000_000), False),
        (PerImage(5), True),
    ]
    assert new.price is not None and new.in_force
    assert new.price.from_ms > before_ms


async def test_a_price_from_tomorrow_is_not_in_force_today(database: Database) -> None:
    day = await tomorrow(database)
    new = await set_price(database, starts=day)

    assert new.price is not None
    assert datetime.fromtimestamp(new.price.from_ms / 1000, ZONE).isoformat() == f"{day}T00:00:00+08:00"
    assert [row.in_force for row in await of(database, "gpt-image-1")] == [True, False]


async def test_a_price_from_today_counts_from_now_and_never_backwards(database: Database) -> None:
    now_ms = await database.now_ms()
    new = await set_price(database, starts=local_day(now_ms, ZONE))

    assert new.in_force
    assert new.price is not None and new.price.from_ms > now_ms
    with pytest.raises(InvalidValue, match="past"):
        await set_price(database, starts="2026-01-01")


async def test_prices_by_size_and_quality_stand_beside_the_general_one(database: Database) -> None:
    await set_price(database, size="1024x1024", quality="high", operation="edit")

    assert [row.in_force for row in await of(database, "gpt-image-1")] == [True, True]


async def test_pricing_a_new_model_puts_it_into_the_catalog(database: Database) -> None:
    everything = await set_price(database, "vendor/new-1", amount=PerToken(1, 2, 3, 4))
    only_edits = await set_price(database, "editor", operation="edit")

    assert everything.operations == ("generation", "edit")
    assert only_edits.operations == ("edit",)
    assert await of(database, "vendor/new-1") == [everything]


async def test_an_operation_priced_by_name_joins_those_of_its_model(database: Database) -> None:
    assert (await set_price(database, "seedream-3.0")).operations == ("generation",)
    assert (await set_price(database, "seedream-3.0", operation="variation")).operations == ("generation", "variation")


async def test_a_model_without_a_price_is_listed_as_such(database: Database) -> None:
    assert await of(database, "imagen4") == [ListedPrice("imagen4", ("generation",), None, in_force=False)]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("model", {"model": ""}),
        ("model", {"model": "a b"}),
        ("model", {"model": "a\nb"}),
        ("model", {"model": "../etc"}),
        ("model", {"model": "a/../b"}),
        ("model", {"model": "x" * 129}),
        ("operation", {"operation": "paint"}),
        ("size", {"size": "auto"}),
        ("size", {"size": "x" * 33}),
        ("quality", {"quality": ""}),
        ("quality", {"quality": "hi gh"}),
        ("ceiling_per_image", {"amount": PerToken(1, 1, 1, 0)}),
        ("from", {"starts": "tomorrow"}),
        ("from", {"starts": "9999-12-31"}),
    ],
)
async def test_a_price_that_cannot_be_is_refused_by_field(
    database: Database, field: str, given: dict[str, Any]
) -> None:
    before = await prices.list_prices(database)

    with pytest.raises(InvalidValue) as refused:
        await set_price(database, **given)
    assert refused.value.param == field
    assert await prices.list_prices(database) == before


async def test_a_model_that_the_relay_prices_by_tokens_takes_the_ceiling_that_is_given(database: Database) -> None:
    relay = RelayPrices({"gpt-image-2": TokenPrices(1, 2, 3)}, "default", ("default",))

    without = await relay_offer(database, relay, SyncedModels(["gpt-image-2"]))
    given = await relay_offer(database, relay, SyncedModels(["gpt-image-2"], ceiling_micros=2_000_000))

    alone = await relay_offer(database, relay, SyncedModels(["gpt-image-2"], only=True))
    assert len(without.notes) > 1 and len(alone.notes) == 1, "of the rest of the catalog nothing is compared"
    assert without.entries == () and "--ceiling-per-image" in without.notes[-1]
    assert given.entries == (PriceEntry("gpt-image-2", PerToken(1, 2, 3, 2_000_000)),)


async def test_prices_of_a_relay_are_divided_by_its_factor(database: Database) -> None:
    published = RelayPrices({"m": PerImage(80_000), "t": TokenPrices(1, 20, 3000)}, "default", ("default",))
    models = SyncedModels(["m", "t"], only=True, ceiling_micros=2_000_000)

    offer = await relay_offer(database, published, models, Relay("b", price_factor=FACTOR_ONE * 3 // 2))

    assert offer.entries == (PriceEntry("m", PerImage(53_334)), PriceEntry("t", PerToken(1, 14, 2000, 2_000_000)))
