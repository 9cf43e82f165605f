"""Pages of the models: prices as they are charged, what a change would have cost, aliases, and the relay's prices."""

import re
from pathlib import Path

from app.core.pricing import PerImage
from app.store.prices import read_catalog
from tests.console.conftest import House, open_house
from tests.databases import insert_usage


async def price_of(house: House, model: str) -> int | None:
    """What one picture of a model without sizes costs now, in micros."""
    found = (await house.running.database.ask(read_catalog)).models[model]
    amounts = [price.amount for price in found.prices.at(await house.running.database.now_ms())]
    return amounts[0].micros if amounts and isinstance(amounts[0], PerImage) else None


async def test_a_new_price_holds_and_its_history_stays(house: House) -> None:
    assert "no price: every request is refused" in (await house.get("/models", "rita")).text
    assert await price_of(house, "imagen4") is None

    answer = await house.post("/models/prices", "olga", model="imagen4", per_image="0.25")
    assert answer.headers["location"].endswith("/models/prices?model=imagen4&done=set")
    assert await price_of(house, "imagen4") == 250_000
    await house.post("/models/prices", "olga", model="imagen4", per_image="0.30")
    shown = (await house.get("/models/prices?model=imagen4", "rita")).text
    assert "0.30 CNY" in shown and "0.25 CNY" in shown and "replaced" in shown
    assert "formmethod" not in shown  # Readers change nothing.

    prices = re.findall(
        r'name="price" value="(price_\d+)"', (await house.get("/models/prices?model=imagen4", "olga")).text
    )
    await house.post("/models/prices/end", "olga", model="imagen4", price=prices[0])
    assert await price_of(house, "imagen4") == 250_000


async def test_a_price_that_cannot_be_keeps_what_was_written(house: House) -> None:
    for fields in ({"per_image": "0.1234567"}, {"per_image": "-1"}, {"per_image": "1", "from": "2020-01-01"}, {}):
        answer = await house.post("/models/prices", "olga", model="imagen4", size="2k", **fields)
        assert answer.status_code == 400 and 'value="2k"' in answer.text, fields
    assert await price_of(house, "imagen4") is None


async def test_what_a_price_would_have_cost_is_said_before_it_is_set(house: House) -> None:
    day = (await house.running.database.now_ms()) // 86_400_000
    given = {
        "day": "2099-01-01",
        "hour_at_ms": day,
        "model": "flux-kontext-pro",
        "images": 10,
        "cost_micros": 2_000_000,
    }
    await insert_usage(house.running.database, **given, size="1024x1024")
    await insert_usage(house.running.database, **given, size="512x512")

    every = (await house.get("/models/prices?model=flux-kontext-pro&per_image=0.50", "olga")).text
    one = (await house.get("/models/prices?model=flux-kontext-pro&per_image=0.50&size=512x512", "rita")).text

    assert "10.00 CNY" in every and "6.00 CNY more" in every
    assert "7.00 CNY" in one and "10 of the images" in one and "3.00 CNY more" in one
    assert await price_of(house, "flux-kontext-pro") == 200_000


async def test_an_alias_translates_and_a_mistyped_model_goes(house: House) -> None:
    await house.post("/models/prices", "olga", model="gpt-imgae-1", per_image="1")
    assert ">gpt-imgae-1</a>" in (await house.get("/models", "rita")).text
    assert "offered by no relay" in (await house.get("/models", "rita")).text
    assert (await house.post("/models/remove", "olga", model="gpt-imgae-1")).status_code == 303
    assert "gpt-imgae-1" not in (await house.get("/models", "rita")).text

    assert (await house.post("/models/aliases", "olga", name="dall-e-*", model="gpt-image-1")).status_code == 303
    listed = (await house.get("/models", "rita")).text
    assert "<code>dall-e-*</code>" in listed and "1792x1024 → 1536x1024" in listed
    refused = await house.post("/models/aliases", "olga", name="imagen4", model="gpt-image-1")
    assert refused.status_code == 409 and 'value="imagen4"' in refused.text
    await house.post("/models/aliases/remove", "olga", name="dall-e-*")
    assert "dall-e-*" not in (await house.get("/models", "rita")).text


async def test_the_relays_prices_are_set_as_they_were_shown_or_not_at_all(house: House) -> None:
    shown = (await house.get("/models/sync", "rita")).text
    assert "imagen4" in shown and "0.20 CNY" in shown and "Set these prices" not in shown
    seen = re.search(r'name="seen" value="(\w+)"', (await house.get("/models/sync", "olga")).text)
    assert seen is not None
    await house.post("/models/prices", "olga", model="seedream-3.0", per_image="0.10")

    changed = await house.post("/models/sync", "olga", seen=seen[1])

    assert changed.status_code == 409 and await price_of(house, "imagen4") is None
    again = re.search(r'name="seen" value="(\w+)"', changed.text)
    assert again is not None
    assert (await house.post("/models/sync", "olga", seen=again[1])).status_code == 303
    assert [await price_of(house, name) for name in ("imagen4", "seedream-3.0")] == [200_000, 80_000]
    assert "No difference" in (await house.get("/models/sync", "olga")).text


async def test_a_relay_that_tells_no_prices_is_said_on_the_page(tmp_path: Path) -> None:
    async with open_house(tmp_path, "http://127.0.0.1:9") as house:
        answer = await house.get("/models/sync", "olga")
    assert answer.status_code == 502 and "cannot be read" in answer.text
