"""Reports from the roll-up of settled requests, without reading the requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import api_keys, projects, usage, users

Dimension = Literal["day", "project", "user", "key", "model", "operation", "size", "quality"]


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of usage: counts, and cost in micros."""

    requests: int = 0
    images: int = 0
    cost_micros: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in Sums.__slots__))


@dataclass(frozen=True, slots=True)
class DuplicateSums:
    """Requests for what their user had bought before: how many were bought all the same and what they cost, both part of `Sums`,
    and how many were served what there was, for nothing."""

    duplicates: int = 0
    duplicates_micros: int = 0
    duplicates_served: int = 0

    def __add__(self, other: "DuplicateSums") -> "DuplicateSums":
        return DuplicateSums(*(getattr(self, name) + getattr(other, name) for name in DuplicateSums.__slots__))


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Sums of one group. `names` has a pair (name, id) for each dimension, in their order; the two are equal without an id."""

    names: tuple[tuple[str, str], ...]
    sums: Sums
    duplicates: DuplicateSums = DuplicateSums()


async def report(
    connection: AsyncConnection,
    by: Sequence[Dimension],
    since: str | None,
    until: str | None,
    only: Mapping[Dimension, str] = MappingProxyType({}),
) -> list[UsageRow]:
    """Sum usage by dimensions; `since` (inclusive) and `until` (exclusive) are local days like `2026-11-21`. `only` selects rows by
    the values of dimensions, by id where there is one.

    Rows are sorted by day, if that is a dimension, then by cost, highest first.
    """
    ids = [usage.c[_IDS[name]] for name in by]
    grouped = sa.select(*ids, *_SUMS).group_by(*ids)
    if since is not None:
        grouped = grouped.where(usage.c.day >= since)
    if until is not None:
        grouped = grouped.where(usage.c.day < until)
    sums = grouped.where(*(usage.c[_IDS[name]] == value for name, value in only.items())).subquery()
    rows = [tuple(row) for row in await connection.execute(_named(sums, by))]
    return [_row(row, len(by)) for row in rows if row[-len(_SUMS)] is not None]


def _named(sums: sa.Subquery, by: Sequence[Dimension]) -> sa.Select[Any]:
    """Select groups with a name and an id for each dimension. Names are joined to the sums: there are far fewer than rows."""
    source: sa.FromClause = sums
    columns: list[sa.ColumnElement[str]] = []
    for name in by:
        id = sums.c[_IDS[name]]
        table = _TABLES.get(name)
        if table is not None:
            source = source.outerjoin(table, table.c.id == id)
        columns += [id if table is None else table.c.name, id]
    days = [sums.c.day] if "day" in by else []
    order = [*days, sums.c.sum_cost_micros.desc(), *(sums.c[_IDS[name]] for name in by if name != "day")]
    amounts = [sums.c[f"sum_{name}"] for name in Sums.__slots__]
    labelled = [column.label(f"column_{at}") for at, column in enumerate(columns)]
    selected: list[sa.ColumnElement[Any]] = [*labelled, *amounts]
    return sa.select(*selected).select_from(source).order_by(*order)


_TABLES: dict[Dimension, sa.Table] = {"project": projects, "user": users, "key": api_keys}
_IDS: dict[Dimension, str] = {
    **{name: name for name in get_args(Dimension)},
    **{"project": "project_id", "user": "user_id", "key": "api_key_id"},
}
"""Columns of the roll-up by dimension."""
# PostgreSQL sums bigints to a decimal.
_SUMS = [sa.cast(sa.func.sum(usage.c[name]), sa.BigInteger).label(f"sum_{name}") for name in Sums.__slots__]


def _row(row: tuple[object, ...], dimensions: int) -> UsageRow:
    texts = [str(value if value is not None else "") for value in row[: 2 * dimensions]]
    names = tuple((texts[at] or texts[at + 1], texts[at + 1]) for at in range(0, 2 * dimensions, 2))
    return UsageRow(names, Sums(*(int(str(value)) for value in row[2 * dimensions :])))
