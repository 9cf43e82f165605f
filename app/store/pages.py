"""Reading a long list piece by piece: where a piece begins is told by the id of the last row of the one before."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import InvalidValue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position in a list: the id to begin after (or before), how many rows, and whether newest first."""

    after: str | None = None
    limit: int = 20
    descending: bool = False
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`has_more`: there are rows beyond, in the direction that was asked for."""

    records: tuple[T, ...]
    has_more: bool


async def read_page(
    connection: AsyncConnection,
    select: sa.Select[Any],
    cursor: Cursor,
    make: Callable[[sa.RowMapping], T],
    order: tuple[sa.ColumnElement[Any], sa.ColumnElement[str]],
    among: sa.ColumnElement[bool] | None = None,
) -> Page[T]:
    """One piece of `select`, ordered by `order`: an instant (or any column) and the id column that tells equals apart.

    Whatever is added or removed meanwhile, no other row is skipped or comes twice. Raises InvalidValue for a cursor whose
    row is not there; `among` narrows where it is looked for, in tables where the id alone does not tell rows apart.
    """
    backwards = cursor.after is None and cursor.before is not None
    descending = cursor.descending != backwards
    for name in ("after", "before"):
        if (id := getattr(cursor, name)) is not None:
            place = await _place(connection, order, id, name, among)
            select = select.where(_beyond(order, place, downwards=cursor.descending == (name == "after")))
    by = [column.desc() if descending else column.asc() for column in order]
    rows = (await connection.execute(select.order_by(*by).limit(cursor.limit + 1))).mappings().all()
    records = [make(row) for row in rows[: cursor.limit]]
    return Page(tuple(reversed(records) if backwards else records), len(rows) > cursor.limit)


async def _place(
    connection: AsyncConnection,
    order: tuple[sa.ColumnElement[Any], sa.ColumnElement[str]],
    id: str,
    name: str,
    among: sa.ColumnElement[bool] | None,
) -> tuple[Any, str]:
    """The place of a row in the order, read from the row itself: it may have left the list since."""
    wanted = sa.select(order[0]).where(order[1] == id)
    row = (await connection.execute(wanted if among is None else wanted.where(among))).first()
    if row is None:
        raise InvalidValue(f"There is nothing with the id that {name} names; give one out of the list.", param=name)
    return row[0], id


def _beyond(
    order: tuple[sa.ColumnElement[Any], sa.ColumnElement[str]], place: tuple[Any, str], *, downwards: bool
) -> sa.ColumnElement[bool]:
    # With its type: PostgreSQL would take a bare number for one of 32 bits.
    values = [sa.literal(value, column.type) for column, value in zip(order, place, strict=True)]
    here, there = sa.tuple_(*order), sa.tuple_(*values)
    return here < there if downwards else here > there
