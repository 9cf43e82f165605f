"""Prices that the relay publishes, as entries of the price book."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.control.prices import PriceEntry
from app.core.catalog import Model
from app.core.pricing import PerImage, PerToken
from app.errors import UpstreamMisconfigured
from app.store import prices as store
from app.store.engine import Database
from app.upstream.billing import RelayDataError
from app.upstream.client import RelayReader
from app.upstream.pricing import RelayPrices, TokenPrices, read_prices


@dataclass(frozen=True, slots=True)
class RelayOffer:
    """Prices of the relay, for any operation, size and quality, from now. `notes` say which were left out, and why."""

    entries: tuple[PriceEntry, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SyncedModels:
    """Models whose prices are compared: those of the catalog and the `named` ones, or with `only` the named ones alone.
    `ceiling_micros` is the most per image of models that the relay prices by tokens and that have no ceiling in the book."""

    named: Sequence[str] = ()
    only: bool = False
    ceiling_micros: int | None = None


async def read_offer(
    database: Database, upstream: RelayReader, group: str, micros_per_dollar: int, models: SyncedModels
) -> RelayOffer:
    """Read the relay's prices for its group `group`. Raises UpstreamMisconfigured when it does not publish them."""
    try:
        relay = await read_prices(upstream, group, micros_per_dollar)
    except RelayDataError as exc:
        raise UpstreamMisconfigured(f"The relay does not tell its prices: {exc}.") from None
    return await relay_offer(database, relay, models)


async def relay_offer(database: Database, relay: RelayPrices, models: SyncedModels) -> RelayOffer:
    """Select the prices of these models; a relay has hundreds of others."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        catalog = (await store.catalog(connection)).models
    wanted = dict.fromkeys((*(() if models.only else catalog), *models.named))
    entries, notes = [], []
    for name in wanted:
        amount = _amount(name, relay, catalog, now_ms, models.ceiling_micros)
        if isinstance(amount, str):
            notes.append(amount)
        else:
            entries.append(PriceEntry(name, amount))
            notes += _named_notes(name, catalog, now_ms)
    return RelayOffer(tuple(entries), tuple(notes))


def _amount(
    name: str, relay: RelayPrices, catalog: Mapping[str, Model], now_ms: int, ceiling_micros: int | None
) -> PerImage | PerToken | str:
    offered = relay.models.get(name)
    if offered is None:
        return f"{name}: the relay tells no price of it"
    if not isinstance(offered, TokenPrices):
        return offered
    model = catalog.get(name)
    rows = model.prices.at(now_ms) if model else ()
    ceilings = [
        row.amount.ceiling_micros_per_image for row in rows if isinstance(row.amount, PerToken) and not row.specificity
    ]
    ceiling = ceilings[0] if ceilings else ceiling_micros
    if ceiling is None:
        cure = f"`imagegate prices sync --only --model {name} --ceiling-per-image D --apply`"
        return f"{name}: the relay prices it per token and knows no ceiling per image; set it with {cure}"
    return PerToken(offered.input_text_micros, offered.input_image_micros, offered.output_micros, ceiling)


def _named_notes(name: str, catalog: Mapping[str, Model], now_ms: int) -> list[str]:
    model = catalog.get(name)
    named = sum(1 for row in model.prices.at(now_ms) if row.specificity) if model else 0
    return [f"{name}: {named} prices for single operations, sizes or qualities stay as they are"] if named else []
