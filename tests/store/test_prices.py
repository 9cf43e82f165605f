"""The catalog and its price book."""

from app.core.pricing import PerImage, PerToken
from app.store import prices
from app.store.engine import Database
from app.store.prices import NewPrice

TOKENS = PerToken(5, 10, 40, 1_500_000)


async def test_the_catalog_begins_with_the_relays_published_prices(database: Database) -> None:
    async with database.read() as connection:
        models = (await prices.read_catalog(connection)).models

    images = {name: [price.amount for price in model.prices.at(1)] for name, model in models.items()}
    assert images == {
        "flux-kontext-max": [PerImage(400_000)],
        "flux-kontext-pro": [PerImage(200_000)],
        "gpt-image-1": [PerImage(1_000_000)],
        "imagen4": [],
        "seedream-3.0": [PerImage(80_000)],
    }
    assert models["gpt-image-1"].operations == {"generation", "edit"}


async def test_both_kinds_of_price_come_back_as_they_were_set(database: Database) -> None:
    async with database.write() as connection:
        await prices.insert_price(connection, NewPrice("imagen4", None, None, None, 5, TOKENS), 5)
        named = await prices.insert_price(connection, NewPrice("imagen4", "edit", "1x1", "low", 6, PerImage(7)), 6)
        found = [price for price in await prices.list_prices(connection) if price.model == "imagen4"]

    assert [price.amount for price in found] == [TOKENS, PerImage(7)]
    assert found[1] == named
    assert (named.operation, named.size, named.quality, named.from_ms) == ("edit", "1x1", "low", 6)


async def test_a_new_model_takes_any_size_and_quality(database: Database) -> None:
    async with database.write() as connection:
        await prices.insert_model(connection, "new", ["generation"], True, 9)
        await prices.set_operations(connection, "new", ["generation", "variation"])
        model = (await prices.read_catalog(connection)).models["new"]

    assert model.operations == {"generation", "variation"}
    assert (model.sizes, model.qualities, model.refuses_response_format) == ((), (), True)
