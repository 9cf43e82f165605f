"""Catalog of models and its price book, in the database."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.catalog import Catalog, Model
from app.core.pricing import PerImage, PerToken, Price, PriceBook
from app.core.request import Operation
from app.store.engine import insert
from app.store.model_aliases import list_aliases
from app.store.relays import list_relays
from app.store.tables import models, prices, requests
from app.store.tables.book import is_unresolved


@dataclass(frozen=True, slots=True)
class NewPrice:
    """Price to insert, valid from `from_ms`. Operation, size and quality are None for all."""

    model: str
    operation: Operation | None
    size: str | None
    quality: str | None
    from_ms: int
    amount: PerImage | PerToken


async def read_catalog(connection: AsyncConnection) -> Catalog:
    """Read every model with all its prices, past ones too, every alias and every relay. Consistent within one `Database.read()`."""
    book: dict[str, list[Price]] = defaultdict(list)
    for price in await list_prices(connection):
        book[price.model].append(price)
    rows = (await connection.execute(sa.select(models).order_by(models.c.created_at_ms, models.c.id))).mappings()
    there: dict[str, Model] = {}
    removed: dict[str, Model] = {}
    for row in rows:
        into = there if row["removed_at_ms"] is None else removed
        into[row["id"]] = _model(row, tuple(book[row["id"]]))
    return Catalog(there, await list_aliases(connection), removed, await list_relays(connection))


async def list_prices(connection: AsyncConnection) -> list[Price]:
    """List prices by model, then by the time they are valid from."""
    select = sa.select(prices).order_by(prices.c.model, prices.c.from_ms, prices.c.id)
    return [_price(row) for row in (await connection.execute(select)).mappings()]


async def insert_price(connection: AsyncConnection, price: NewPrice, now_ms: int) -> Price:
    values = {"from_ms": price.from_ms, "created_at_ms": now_ms, **_named(price), **_amount(price.amount)}
    new = await connection.execute(sa.insert(prices).values(values).returning(prices.c.id))
    return Price(id=int(new.scalar_one()), from_ms=price.from_ms, amount=price.amount, **_named(price))


async def insert_model(
    connection: AsyncConnection,
    model: str,
    operations: list[Operation],
    refuses_response_format: bool,
    now_ms: int,
) -> None:
    """Insert a model that accepts any size and quality, also one of a removed model's name."""
    values: dict[str, Any] = {
        "operations": operations,
        "sizes": [],
        "qualities": [],
        "refuses_response_format": int(refuses_response_format),
        "created_at_ms": now_ms,
        "removed_at_ms": None,
    }
    statement = insert(connection, models).values(id=model, **values)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_=values, where=models.c.removed_at_ms.is_not(None))
    )


async def set_operations(connection: AsyncConnection, model: str, operations: list[Operation]) -> None:
    await connection.execute(sa.update(models).where(models.c.id == model).values(operations=operations))


async def end_price(connection: AsyncConnection, price: Price, until_ms: int) -> bool:
    """End a price; False, with nothing changed, while a request that it may price is not resolved."""
    mine = sa.and_(prices.c.id == price.id, prices.c.until_ms.is_(None))
    open_requests = sa.exists().where(*_may_price(price.model, price.operation, price.from_ms))
    result = await connection.execute(sa.update(prices).where(mine, ~open_requests).values(until_ms=until_ms))
    return result.rowcount > 0


async def remove_model(connection: AsyncConnection, model: str, at_ms: int) -> bool:
    """Remove a model and end its prices; False, with nothing changed, while a request for it is not resolved."""
    mine = sa.and_(models.c.id == model, models.c.removed_at_ms.is_(None))
    open_requests = sa.exists().where(*_may_price(model))
    result = await connection.execute(sa.update(models).where(mine, ~open_requests).values(removed_at_ms=at_ms))
    if result.rowcount == 0:
        return False
    still = sa.and_(prices.c.model == model, prices.c.until_ms.is_(None))
    await connection.execute(sa.update(prices).where(still).values(until_ms=at_ms))
    return True


async def open_requests(
    connection: AsyncConnection, model: str, operation: Operation | None = None, from_ms: int = 0
) -> dict[str, int]:
    """Count the requests that are not resolved and that such a price may price, by state."""
    select = sa.select(requests.c.state, sa.func.count()).where(*_may_price(model, operation, from_ms))
    rows = await connection.execute(select.group_by(requests.c.state))
    return {row[0]: row[1] for row in rows}


def _may_price(model: str, operation: Operation | None = None, from_ms: int = 0) -> list[sa.ColumnElement[bool]]:
    of_operation = [] if operation is None else [requests.c.operation == operation]
    return [is_unresolved, requests.c.model == model, requests.c.reserved_at_ms >= from_ms, *of_operation]


def _model(row: sa.RowMapping, book: tuple[Price, ...]) -> Model:
    return Model(
        id=row["id"],
        operations=frozenset(row["operations"]),
        sizes=tuple(row["sizes"]),
        qualities=tuple(row["qualities"]),
        refuses_response_format=bool(row["refuses_response_format"]),
        created_at_ms=row["created_at_ms"],
        prices=PriceBook(book),
    )


def _price(row: sa.RowMapping) -> Price:
    named = {name: row[name] for name in ("id", "model", "operation", "size", "quality", "from_ms", "until_ms")}
    if row["image_micros"] is not None:
        return Price(**named, amount=PerImage(row["image_micros"]))
    tokens = (row["input_text_micros"], row["input_image_micros"], row["output_micros"], row["ceiling_micros"])
    return Price(**named, amount=PerToken(*tokens))


def _named(price: NewPrice) -> dict[str, Any]:
    return {name: getattr(price, name) for name in ("model", "operation", "size", "quality")}


def _amount(amount: PerImage | PerToken) -> dict[str, int]:
    if isinstance(amount, PerImage):
        return {"image_micros": amount.micros}
    return {
        "input_text_micros": amount.input_text_micros,
        "input_image_micros": amount.input_image_micros,
        "output_micros": amount.output_micros,
        "ceiling_micros": amount.ceiling_micros_per_image,
    }
