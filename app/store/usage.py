"""Reports from the roll-up by local day, without reading the requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import api_keys, projects, usage_local_days, usage_series, users

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

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) - getattr(other, name) for name in Sums.__slots__))


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


@dataclass(frozen=True, slots=True)
class UsageSpan:
    """Usage to sum: local days like `2026-11-21` from `since` (inclusive) to `until` (exclusive), None for no bound, and `only`
    the values of some dimensions, by id where there is one."""

    since: str | None = None
    until: str | None = None
    only: Mapping[Dimension, str] = field(default_factory=dict)


async def report(connection: AsyncConnection, by: Sequence[Dimension], span: UsageSpan = UsageSpan()) -> list[UsageRow]:
    """Sum usage by dimensions. Rows are sorted by day, if that is a dimension, then by cost, highest first."""
    rows = [tuple(row) for row in await connection.execute(_named(_grouped(by, span), by))]
    return [_row(row, len(by)) for row in rows if row[-len(_SUMS)] is not None]


async def daily_costs(
    connection: AsyncConnection, dimension: Dimension, values: Sequence[str], span: UsageSpan
) -> list[tuple[str, int, tuple[int, ...]]]:
    """Sum the cost of each local day, in micros: of all usage, and of each of some `values` of a dimension. Sorted by day."""
    cost_micros = usage_local_days.c.cost_micros
    parts = [sa.case((_COLUMNS[dimension] == value, cost_micros), else_=0) for value in values]
    sums = [sa.cast(sa.func.sum(amount), sa.BigInteger) for amount in (cost_micros, *parts)]
    day = usage_local_days.c.day
    select = sa.select(day, *sums).select_from(_with_series((dimension, *span.only))).where(*_filters(span))
    rows = await connection.execute(select.group_by(day).order_by(day))
    return [(day, total, tuple(amounts)) for day, total, *amounts in rows]


async def names_of(connection: AsyncConnection, only: Mapping[Dimension, str]) -> dict[Dimension, str]:
    """Return the names of values of dimensions, by dimension; an id that is not known is its own name."""
    names = dict(only)
    for dimension, table in _TABLES.items():
        if dimension in only:
            found = await connection.execute(sa.select(table.c.name).where(table.c.id == only[dimension]))
            names[dimension] = found.scalar_one_or_none() or only[dimension]
    return names


_COLUMNS: dict[Dimension, sa.ColumnElement[str]] = {
    **{"day": usage_local_days.c.day, "quality": usage_local_days.c.quality},
    **{"project": usage_series.c.project_id, "user": usage_series.c.user_id, "key": usage_series.c.api_key_id},
    **{"model": usage_series.c.model, "operation": usage_series.c.operation, "size": usage_series.c.size},
}
_OF_DAY: tuple[Dimension, ...] = ("day", "quality")
"""Dimensions in the roll-up itself; the others are those of its series."""
_TABLES: dict[Dimension, sa.Table] = {"project": projects, "user": users, "key": api_keys}
# PostgreSQL sums bigints to a decimal.
_SUMS = [sa.cast(sa.func.sum(usage_local_days.c[name]), sa.BigInteger).label(f"sum_{name}") for name in Sums.__slots__]


def _filters(span: UsageSpan) -> list[sa.ColumnElement[bool]]:
    day = usage_local_days.c.day
    bounds = [] if span.since is None else [day >= span.since]
    bounds += [] if span.until is None else [day < span.until]
    return [*bounds, *(_COLUMNS[name] == value for name, value in span.only.items())]


def _with_series(names: Sequence[Dimension]) -> sa.FromClause:
    """Return the roll-up, with the series where one of the dimensions is of them."""
    if all(name in _OF_DAY for name in names):
        return usage_local_days
    return usage_local_days.join(usage_series, usage_series.c.id == usage_local_days.c.series_id)


def _grouped(by: Sequence[Dimension], span: UsageSpan) -> sa.Subquery:
    """Select sums with the values of each dimension. First by series: grouping rows by numbers takes half the time of texts."""
    of_series = any(name not in _OF_DAY for name in by)
    key = [
        usage_local_days.c[name] for name in ("series_id",) * of_series + tuple(name for name in _OF_DAY if name in by)
    ]
    by_series = sa.select(*key, *_SUMS).select_from(_with_series(tuple(span.only))).where(*_filters(span))
    inner = by_series.group_by(*key).subquery()
    columns = {**_COLUMNS, **{name: inner.c[name] for name in _OF_DAY if name in by}}
    ids = [columns[name].label(f"id_{name}") for name in by]
    sums = [sa.cast(sa.func.sum(inner.c[column.name]), sa.BigInteger).label(column.name) for column in _SUMS]
    joined = inner.join(usage_series, usage_series.c.id == inner.c.series_id) if of_series else inner
    return sa.select(*ids, *sums).select_from(joined).group_by(*(columns[name] for name in by)).subquery()


def _named(sums: sa.Subquery, by: Sequence[Dimension]) -> sa.Select[Any]:
    """Select groups with a name and an id for each dimension. Names are joined to the sums: there are far fewer than rows."""
    source: sa.FromClause = sums
    columns: list[sa.ColumnElement[str]] = []
    for name in by:
        id = sums.c[f"id_{name}"]
        table = _TABLES.get(name)
        if table is not None:
            source = source.outerjoin(table, table.c.id == id)
        columns += [id if table is None else table.c.name, id]
    days = [sums.c.id_day] if "day" in by else []
    order = [*days, sums.c.sum_cost_micros.desc(), *(sums.c[f"id_{name}"] for name in by if name != "day")]
    labelled: list[sa.ColumnElement[Any]] = [column.label(f"column_{at}") for at, column in enumerate(columns)]
    labelled += [sums.c[column.name] for column in _SUMS]
    return sa.select(*labelled).select_from(source).order_by(*order)


def _row(row: tuple[Any, ...], dimensions: int) -> UsageRow:
    texts = [value or "" for value in row[: 2 * dimensions]]
    names = tuple((texts[at] or texts[at + 1], texts[at + 1]) for at in range(0, 2 * dimensions, 2))
    return UsageRow(names, Sums(*row[2 * dimensions :]))
