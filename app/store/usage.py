"""Reports from the roll-up of settled requests, without reading the requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

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
    groups = [column for name in by for column in _COLUMNS[name]]
    select = sa.select(*groups, *_SUMS).select_from(_JOINED).group_by(*groups).order_by(*_order(by))
    if since is not None:
        select = select.where(usage.c.day >= since)
    if until is not None:
        select = select.where(usage.c.day < until)
    for name, value in only.items():
        select = select.where(sa.func.coalesce(_COLUMNS[name][1], "") == value)
    rows = [tuple(row) for row in await connection.execute(select)]
    return [_row(row, len(by)) for row in rows if row[-len(_SUMS)] is not None]


_JOINED = (
    usage.outerjoin(projects, projects.c.id == usage.c.project_id)
    .outerjoin(users, users.c.id == usage.c.user_id)
    .outerjoin(api_keys, api_keys.c.id == usage.c.api_key_id)
)
_COLUMNS: dict[Dimension, tuple[sa.ColumnElement[str], sa.ColumnElement[str]]] = {
    "day": (usage.c.day, usage.c.day),
    "project": (projects.c.name, usage.c.project_id),
    "user": (users.c.name, usage.c.user_id),
    "key": (api_keys.c.name, usage.c.api_key_id),
    "model": (usage.c.model, usage.c.model),
    "operation": (usage.c.operation, usage.c.operation),
    "size": (usage.c.size, usage.c.size),
    "quality": (usage.c.quality, usage.c.quality),
}
# PostgreSQL sums bigints to a decimal.
_SUMS = [sa.cast(sa.func.sum(usage.c[name]), sa.BigInteger).label(f"sum_{name}") for name in Sums.__slots__]


def _order(by: Sequence[Dimension]) -> list[sa.ColumnElement[str]]:
    days = [usage.c.day] if "day" in by else []
    return [*days, sa.desc("sum_cost_micros"), *(_COLUMNS[name][1] for name in by if name != "day")]


def _row(row: tuple[object, ...], dimensions: int) -> UsageRow:
    texts = [str(value if value is not None else "") for value in row[: 2 * dimensions]]
    names = tuple((texts[at] or texts[at + 1], texts[at + 1]) for at in range(0, 2 * dimensions, 2))
    return UsageRow(names, Sums(*(int(str(value)) for value in row[2 * dimensions :])))
