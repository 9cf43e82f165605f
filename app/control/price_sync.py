"""The relay's own prices as prices of the book."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.control.prices import WantedPrice
from app.core.catalog import Model
from app.core.pricing import PerImage, PerToken
from app.store import prices as store
from app.store.engine import Database
from app.upstream.pricing import RelayPrices, TokenPrices


@dataclass(frozen=True, slots=True)
class RelayOffer:
    """`entries` are prices for any operation, size and quality, from now. `notes` say what could not be taken over, and why."""

    entries: tuple[WantedPrice, ...]
    notes: tuple[str, ...]


async def relay_offer(database: Database, relay: RelayPrices, more_models: Sequence[str] = ()) -> RelayOffer:
    """For every model of the catalog, and `more_models` of the relay's; its hundreds of others are not ours."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        catalog = (await store.catalog(connection)).models
    wanted = [*catalog, *(model for model in dict.fromkeys(more_models) if model not in catalog)]
    entries, notes = [], []
    for name in wanted:
        taken = _taken(name, relay, catalog, now_ms)
        if isinstance(taken, str):
            notes.append(taken)
        else:
            entries.append(WantedPrice(name, taken))
            notes += _kept(name, catalog, now_ms)
    return RelayOffer(tuple(entries), tuple(notes))


def _taken(name: str, relay: RelayPrices, catalog: Mapping[str, Model], now_ms: int) -> PerImage | PerToken | str:
    told = relay.models.get(name)
    if told is None:
        return f"{name}: the relay tells no price of it"
    if not isinstance(told, TokenPrices):
        return told
    model = catalog.get(name)
    rows = model.prices.at(now_ms) if model else ()
    ceilings = [
        row.amount.ceiling_micros_per_image for row in rows if isinstance(row.amount, PerToken) and not row.named
    ]
    if not ceilings:
        return (
            f"{name}: the relay prices it per token and knows no ceiling per image; set it with `imagegate prices set`"
        )
    return PerToken(told.input_text_micros, told.input_image_micros, told.output_micros, ceilings[0])


def _kept(name: str, catalog: Mapping[str, Model], now_ms: int) -> list[str]:
    model = catalog.get(name)
    named = sum(1 for row in model.prices.at(now_ms) if row.named) if model else 0
    return [f"{name}: {named} prices for single operations, sizes or qualities stay as they are"] if named else []
