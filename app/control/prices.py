"""Price book and catalog. Pricing a new model adds it to the catalog."""

import re
from dataclasses import dataclass
from typing import get_args
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.dates import day, instant_ms, start_of_day_ms
from app.control.names import quoted
from app.core.catalog import Model
from app.core.intervals import local_day
from app.core.pricing import PerImage, PerToken, Price, explicit
from app.core.request import GPT_IMAGE, Operation
from app.errors import InvalidValue
from app.store import prices as store
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.prices import NewPrice

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
NEW_MODEL_DOES: list[Operation] = ["generation", "edit"]
NAMED_CHARS_MAX = 32
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """Price to set. None in operation, size or quality stands for any; `starts` is a day like `2026-12-01` or an instant,
    None is now."""

    model: str
    amount: PerImage | PerToken
    operation: str | None = None
    size: str | None = None
    quality: str | None = None
    starts: str | None = None


@dataclass(frozen=True, slots=True)
class ListedPrice:
    """Row of the price book, or a model of the catalog without one (`price` None)."""

    model: str
    operations: tuple[Operation, ...]
    price: Price | None
    in_force: bool


async def set_price(database: Database, zone: ZoneInfo, wanted: PriceEntry) -> ListedPrice:
    """Set a price from now or a later day on. Past prices never change, so the cost of no booked or open request does.

    An operation that is priced by name is added to the operations of its model. Raises InvalidValue.
    """
    async with database.write() as connection:
        # Asked inside the write: requests reserved before it have an earlier instant and keep the price of their quote.
        return await enter_price(connection, zone, wanted, await database.now_ms())


async def enter_price(connection: AsyncConnection, zone: ZoneInfo, wanted: PriceEntry, now_ms: int) -> ListedPrice:
    """Set a price in the caller's transaction; `now_ms` is the database's time, read inside it. Raises InvalidValue."""
    operation = _check(wanted)
    from_ms = now_ms + 1 if wanted.starts is None else _starts_ms(wanted.starts, now_ms, zone)
    model = (await store.read_catalog(connection)).models.get(wanted.model)
    does = await _enter(connection, wanted, operation, model, now_ms)
    new = NewPrice(wanted.model, operation, wanted.size, wanted.quality, from_ms, wanted.amount)
    price = await store.insert_price(connection, new, now_ms)
    await log_changes(connection, Change("price.created", f"price_{price.id}", None, price_facts(price)))
    return ListedPrice(wanted.model, does, price, in_force=from_ms == now_ms + 1)


async def list_prices(database: Database) -> list[ListedPrice]:
    """List past, present and future prices by model, with models that have none."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        models = (await store.read_catalog(connection)).models
    listed = []
    for model in models.values():
        does, now = ordered(model.operations), {price.id for price in model.prices.at(now_ms)}
        rows = [ListedPrice(model.id, does, price, price.id in now) for price in model.prices.prices]
        listed += rows or [ListedPrice(model.id, does, None, in_force=False)]
    return listed


async def _enter(
    connection: AsyncConnection, wanted: PriceEntry, operation: Operation | None, model: Model | None, now_ms: int
) -> tuple[Operation, ...]:
    """Add the model to the catalog, or the operation to the model. Returns its operations."""
    if model is None:
        does = [operation] if operation else NEW_MODEL_DOES
        refuses = wanted.model.startswith(GPT_IMAGE)
        await store.insert_model(connection, wanted.model, does, refuses, now_ms)
        await log_changes(connection, Change("model.created", wanted.model, None, {"operations": list(does)}))
        return tuple(does)
    _check_listed("size", wanted.size, model.sizes, model.id)
    _check_listed("quality", wanted.quality, model.qualities, model.id)
    if operation is None or operation in model.operations:
        return ordered(model.operations)
    more = ordered(model.operations | {operation})
    await store.set_operations(connection, model.id, list(more))
    before, after = ({"operations": list(does)} for does in (ordered(model.operations), more))
    await log_changes(connection, Change("model.updated", model.id, before, after))
    return more


def _check(wanted: PriceEntry) -> Operation | None:
    if not _MODEL.fullmatch(wanted.model) or ".." in wanted.model or "//" in wanted.model:
        message = (
            "is no name of a model: letters, digits and . _ : / @ + - of at most 128, beginning with a letter or digit"
        )
        raise InvalidValue(f"{quoted(wanted.model)} {message}.", param="model")
    _check_named("size", wanted.size)
    _check_named("quality", wanted.quality)
    if isinstance(wanted.amount, PerToken) and wanted.amount.ceiling_micros_per_image <= 0:
        message = (
            "The ceiling per image must be above 0: it is held, and booked when the relay does not tell the tokens."
        )
        raise InvalidValue(message, param="ceiling_per_image")
    for operation in OPERATIONS:
        if operation == wanted.operation:
            return operation
    if wanted.operation is None:
        return None
    message = f"{quoted(wanted.operation)} is not an operation; there are: {', '.join(OPERATIONS)}."
    raise InvalidValue(message, param="operation")


def _check_named(field: str, value: str | None) -> None:
    if value is None:
        return
    visible = value.isprintable() and " " not in value and 1 <= len(value) <= NAMED_CHARS_MAX
    if not visible or explicit(value) is None:
        message = f"must be 1 to {NAMED_CHARS_MAX} visible characters and not `auto`; leave it out for any {field}"
        raise InvalidValue(f"The {field} {quoted(value)} {message}.", param=field)


def _check_listed(field: str, value: str | None, listed: tuple[str, ...], model: str) -> None:
    if value is not None and listed and value not in listed:
        raise InvalidValue(f"{model} takes as {field}: {', '.join(listed)}; not {quoted(value)}.", param=field)


def starting_ms(text: str, zone: ZoneInfo) -> int:
    """Parse the start of a price: a day like `2026-12-01`, or an instant with its offset. Raises InvalidValue."""
    return instant_ms(text, "from") if "T" in text else start_of_day_ms(text, "from", zone)


def _starts_ms(text: str, now_ms: int, zone: ZoneInfo) -> int:
    today = local_day(now_ms, zone)
    past = starting_ms(text, zone) < now_ms if "T" in text else day(text, "from") < today
    if past:
        message = f"{text} is past: a price counts from today ({today}) or a later day on. Leave it out for now."
        raise InvalidValue(message, param="from")
    return max(starting_ms(text, zone), now_ms + 1)


def ordered(operations: frozenset[Operation]) -> tuple[Operation, ...]:
    """Sort operations as the API lists them."""
    return tuple(operation for operation in OPERATIONS if operation in operations)


def price_facts(price: Price) -> Facts:
    """Return the fields of a price that the audit log keeps."""
    named = {name: getattr(price, name) for name in ("model", "operation", "size", "quality", "from_ms", "until_ms")}
    return {**named, **{name: getattr(price.amount, name) for name in price.amount.__slots__}}
