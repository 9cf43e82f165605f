"""Prices that the relay publishes, as entries of the price book."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.control.bill_reader import BillReader
from app.control.prices import PriceEntry
from app.core.catalog import Model
from app.core.pricing import PerImage, PerToken
from app.core.relays import DEFAULT, Relay
from app.errors import ConfigurationError, UpstreamMisconfigured
from app.store import prices as store
from app.store.engine import Database
from app.upstream.billing import RelayDataError
from app.upstream.pricing import RelayPrices, TokenPrices, read_prices


@dataclass(frozen=True, slots=True)
class RelayOffer:
    """Prices of a relay in terms of the price book, for any operation, size and quality, from now. `notes` say which were left
    out, and why."""

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
    database: Database, bills: BillReader, relay: Relay, group: str, models: SyncedModels
) -> RelayOffer:
    """Read a relay's prices for its group `group`, divided by its factor. Raises UpstreamMisconfigured when it does not publish
    them, or has no usable key."""
    try:
        prices = await read_prices(bills.relays.client(relay), group, bills.rules_of(relay).micros_per_dollar)
    except RelayDataError as exc:
        raise UpstreamMisconfigured(f"The relay does not tell its prices: {exc}.") from None
    except ConfigurationError as exc:
        raise UpstreamMisconfigured(str(exc)) from None
    return await relay_offer(database, prices, models, relay)


async def relay_offer(
    database: Database, prices: RelayPrices, models: SyncedModels, relay: Relay = DEFAULT
) -> RelayOffer:
    """Select the prices of these models; a relay has hundreds of others."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        catalog = (await store.read_catalog(connection)).models
    wanted = dict.fromkeys((*(() if models.only else catalog), *models.named))
    entries, notes = [], []
    for name in wanted:
        amount = _amount(name, prices, relay, catalog, now_ms, models.ceiling_micros)
        if isinstance(amount, str):
            notes.append(amount)
        else:
            entries.append(PriceEntry(name, amount))
            notes += _named_notes(name, catalog, now_ms)
    return RelayOffer(tuple(entries), tuple(notes))


def _amount(
    name: str,
    prices: RelayPrices,
    relay: Relay,
    catalog: Mapping[str, Model],
    now_ms: int,
    ceiling_micros: int | None,
) -> PerImage | PerToken | str:
    offered = prices.models.get(name)
    if offered is None:
        return f"{name}: the relay tells no price of it"
    if not isinstance(offered, TokenPrices):
        return PerImage(relay.listed_micros(offered.micros))
    model = catalog.get(name)
    rows = model.prices.at(now_ms) if model else ()
    ceilings = [
        row.amount.ceiling_micros_per_image for row in rows if isinstance(row.amount, PerToken) and not row.specificity
    ]
    ceiling = ceilings[0] if ceilings else ceiling_micros
    if ceiling is None:
        cure = f"`imagegate prices sync --only --model {name} --ceiling-per-image D --apply`"
        return f"{name}: the relay prices it per token and knows no ceiling per image; set it with {cure}"
    return PerToken(
        relay.listed_micros(offered.input_text_micros),
        relay.listed_micros(offered.input_image_micros),
        relay.listed_micros(offered.output_micros),
        ceiling,
    )


def _named_notes(name: str, catalog: Mapping[str, Model], now_ms: int) -> list[str]:
    model = catalog.get(name)
    named = sum(1 for row in model.prices.at(now_ms) if row.specificity) if model else 0
    return [f"{name}: {named} prices for single operations, sizes or qualities stay as they are"] if named else []
