"""Keyset pagination: a page begins after the id of the last row of the page before."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import InvalidValue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position in a list: the id to begin after or before, the number of rows, and the direction."""

    after: str | None = None
    limit: int = 20
    descending: bool = False
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Page of records. `has_more`: more rows follow in the requested direction."""

    records: tuple[T, ...]
    has_more: bool


async def read_page(
    connection: AsyncConnection,
    select: sa.Select[Any],
    cursor: Cursor,
    make: Callable[[sa.RowMapping], T],
    order: tuple[sa.ColumnElement[Any], sa.ColumnElement[str]],
    among: sa.ColumnElement[bool] | None = None,
    removed: Callable[[str], sa.Select[Any]] | None = None,
) -> Page[T]:
    """Read a page of `select`, ordered by `order`: any column, and the id column that separates equal values.

    Rows added or removed between two pages do not skip or repeat another row. Raises InvalidValue when the row of the cursor
    does not exist. `among` filters the search for that row, in tables where the id alone is not unique. `removed` selects the
    position of a row that is not there any more, by its id.
    """
    backwards = cursor.after is None and cursor.before is not None
    descending = cursor.descending != backwards
    for name in ("after", "before"):
        if (id := getattr(cursor, name)) is not None:
            position = await _position(connection, order, id, name, among, removed)
            select = select.where(_beyond(order, position, downwards=cursor.descending == (name == "after")))
    by = [column.desc() if descending else column.asc() for column in order]
    rows = (await connection.execute(select.order_by(*by).limit(cursor.limit + 1))).mappings().all()
    records = [make(row) for row in rows[: cursor.limit]]
    return Page(tuple(reversed(records) if backwards else records), len(rows) > cursor.limit)


async def _position(
    connection: AsyncConnection,
    order: tuple[sa.ColumnElement[Any], sa.ColumnElement[str]],
    id: str,
    name: str,
    among: sa.ColumnElement[bool] | None,
    removed: Callable[[str], sa.Select[Any]] | None,
) -> tuple[Any, str]:
    """Read the position of a row from the table: the row may no longer be in the list."""
    select = sa.select(order[0]).where(order[1] == id)
    row = (await connection.execute(select if among is None else select.where(among))).first()
    if row is None and removed is not None:
        row = (await connection.execute(removed(id))).first()
    if row is None:
        raise InvalidValue(f"There is nothing with the id that {name} names; give one out of the list.", param=name)
    return row[0], id


def _beyond(
    order: tuple[sa.ColumnElement[Any], sa.ColumnElement[str]], position: tuple[Any, str], *, downwards: bool
) -> sa.ColumnElement[bool]:
    # Typed, because PostgreSQL would treat a plain number as 32 bits.
    values = [sa.literal(value, column.type) for column, value in zip(order, position, strict=True)]
    row, cursor = sa.tuple_(*order), sa.tuple_(*values)
    return row < cursor if downwards else row > cursor
