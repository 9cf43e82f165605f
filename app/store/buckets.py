"""Usage by time: sums in buckets of minutes, hours or days, from the roll-ups; of minutes from the book itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import DAY_MS, HOUR_MS
from app.store.tables import api_keys, corrections, projects, requests, usage, usage_days, users
from app.store.usage import Sums

Field = Literal["project_id", "user_id", "api_key_id", "model", "operation", "size"]
Row = Sequence[Any]
"""A Portion as the database gave it: its instant, values and sums in a row."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `start_ms` (inclusive) to `end_ms` (exclusive), cut where UTC has a multiple of `width_ms`.

    A width below an hour is read from the requests: keep the span short then. Otherwise the span begins and ends with an hour.
    """

    start_ms: int
    end_ms: int
    width_ms: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Only what has one of these values in each field named; `items` are pairs of model and operation. Grouped by `by`."""

    by: tuple[Field, ...] = ()
    only: Mapping[Field, tuple[str, ...]] = field(default_factory=dict)
    items: tuple[tuple[str, str], ...] = ()


class Portion(NamedTuple):
    """What falls into the bucket that holds `at_ms`; `values` are those of the fields grouped by, in their order."""

    at_ms: int
    values: tuple[str, ...]
    requests: int
    images: int
    cost_micros: int
    input_tokens: int
    output_tokens: int

    @classmethod
    def of(cls, row: Row) -> "Portion":
        """Not before it is looked at: a month by key and size has tens of thousands of rows."""
        values_end = len(row) - len(Sums.__slots__)
        return cls(row[0], tuple(row[1:values_end]), *row[values_end:])

    @property
    def sums(self) -> Sums:
        return Sums(*self[2:])


@dataclass(frozen=True, slots=True)
class Names:
    """By id: what reports show beside it."""

    projects: Mapping[str, str]
    users: Mapping[str, str]
    keys: Mapping[str, str]


async def portions(connection: AsyncConnection, span: Span, wanted: Wanted) -> list[Row]:
    """By time, then the dearest first; where nothing was used there is none. `Portion.of` reads a row."""
    return [row for stretch in _stretches(span) for row in await _rows(connection, stretch, span.width_ms, wanted)]


async def names(connection: AsyncConnection) -> Names:
    async def of(table: sa.Table) -> dict[str, str]:
        rows = (await connection.execute(sa.select(table.c.id, table.c.name))).all()
        return {row.id: row.name for row in rows}

    return Names(await of(projects), await of(users), await of(api_keys))


class _Stretch(NamedTuple):
    """A part of a span, and where to read it; `step_ms` is how far apart the source's instants are."""

    source: sa.FromClause
    step_ms: int
    start_ms: int
    end_ms: int


def _stretches(span: Span) -> list[_Stretch]:
    """In the order of time. Of days, the whole ones are read by day; those that the span cuts, by hour."""
    start_ms, end_ms = span.start_ms, span.end_ms
    if span.width_ms < HOUR_MS:
        return [_Stretch(_book(span), 1, start_ms, end_ms)]
    if span.width_ms < DAY_MS:
        return [_Stretch(_HOURS, HOUR_MS, start_ms, end_ms)]
    first_ms = min(-(-start_ms // DAY_MS) * DAY_MS, end_ms)
    last_ms = max(end_ms // DAY_MS * DAY_MS, first_ms)
    stretches = (
        _Stretch(_HOURS, HOUR_MS, start_ms, first_ms),
        _Stretch(_DAYS, DAY_MS, first_ms, last_ms),
        _Stretch(_HOURS, HOUR_MS, last_ms, end_ms),
    )
    return [stretch for stretch in stretches if stretch.start_ms < stretch.end_ms]


async def _rows(connection: AsyncConnection, stretch: _Stretch, width_ms: int, wanted: Wanted) -> Sequence[Row]:
    columns = stretch.source.c
    # What is grouped by the key itself need not be sorted first.
    bucket = columns.at_ms if stretch.step_ms == width_ms else columns.at_ms - columns.at_ms % width_ms
    groups = [columns[name] for name in wanted.by]
    sums = {name: sa.cast(sa.func.sum(columns[name]), sa.BigInteger) for name in Sums.__slots__}
    within = (columns.at_ms >= stretch.start_ms, columns.at_ms < stretch.end_ms)
    select = sa.select(bucket, *groups, *sums.values()).where(*within).group_by(bucket, *groups)
    for name, values in wanted.only.items():
        select = select.where(columns[name].in_(values))
    if wanted.items:
        select = select.where(sa.tuple_(columns.model, columns.operation).in_(wanted.items))
    return (await connection.execute(select.order_by(bucket, sums["cost_micros"].desc(), *groups))).all()


def _book(span: Span) -> sa.Subquery:
    """Settled requests and every correction, at the instant of the request: what the roll-up is made of."""
    within = sa.and_(requests.c.reserved_at_ms >= span.start_ms, requests.c.reserved_at_ms < span.end_ms)
    facts = [requests.c.reserved_at_ms.label("at_ms"), *_same(requests)]
    tokens = [sa.func.coalesce(requests.c[name], 0).label(name) for name in ("input_tokens", "output_tokens")]
    one, none = sa.literal(1).label("requests"), sa.literal(0)
    settled = sa.select(*facts, one, requests.c.images, requests.c.cost_micros, *tokens)
    mended = sa.select(*facts, *corrections.c["requests", "images", "cost_micros"], none, none).join_from(
        requests, corrections, corrections.c.request_id == requests.c.id
    )
    return sa.union_all(settled.where(within, requests.c.state == "settled"), mended.where(within)).subquery()


def _same(table: sa.Table) -> list[sa.ColumnElement[str]]:
    columns = [table.c[name] for name in ("project_id", "user_id", "api_key_id", "model", "operation")]
    return [*columns, sa.func.coalesce(table.c.size, "").label("size") if table is requests else table.c.size]


_HOURS = sa.select(
    usage.c.hour_at_ms.label("at_ms"), *_same(usage), *(usage.c[name] for name in Sums.__slots__)
).subquery()
_DAYS = sa.select(
    usage_days.c.day_at_ms.label("at_ms"), *_same(usage_days), *(usage_days.c[name] for name in Sums.__slots__)
).subquery()
