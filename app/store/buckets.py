"""Usage by time: sums in buckets of minutes, hours or days, from the roll-up; of minutes from the book itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import HOUR_MS
from app.store.tables import api_keys, corrections, projects, requests, usage, users
from app.store.usage import Sums

Field = Literal["project_id", "user_id", "api_key_id", "model", "operation", "size"]


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


@dataclass(frozen=True, slots=True)
class Portion:
    """What falls into the bucket that holds `at_ms`; `values` are those of the fields grouped by, in their order."""

    at_ms: int
    values: tuple[str, ...]
    sums: Sums


@dataclass(frozen=True, slots=True)
class Names:
    """By id: what reports show beside it."""

    projects: Mapping[str, str]
    users: Mapping[str, str]
    keys: Mapping[str, str]


async def portions(connection: AsyncConnection, span: Span, wanted: Wanted) -> list[Portion]:
    """By time, then the dearest first; where nothing was used there is none."""
    source = _roll_up() if span.width_ms >= HOUR_MS else _book(span)
    bucket = (source.c.at_ms - source.c.at_ms % span.width_ms).label("bucket")
    groups = [source.c[name] for name in wanted.by]
    sums = [sa.cast(sa.func.sum(source.c[name]), sa.BigInteger).label(f"sum_{name}") for name in Sums.__slots__]
    select = sa.select(bucket, *groups, *sums).where(source.c.at_ms >= span.start_ms, source.c.at_ms < span.end_ms)
    for name, values in wanted.only.items():
        select = select.where(source.c[name].in_(values))
    if wanted.items:
        select = select.where(sa.tuple_(source.c.model, source.c.operation).in_(wanted.items))
    rows = await connection.execute(select.group_by(bucket, *groups))
    found = [_portion(row, len(groups)) for row in rows]
    return sorted(found, key=lambda portion: (portion.at_ms, -portion.sums.cost_micros, portion.values))


async def names(connection: AsyncConnection) -> Names:
    async def of(table: sa.Table) -> dict[str, str]:
        rows = (await connection.execute(sa.select(table.c.id, table.c.name))).all()
        return {row.id: row.name for row in rows}

    return Names(await of(projects), await of(users), await of(api_keys))


def _portion(row: sa.Row[Any], fields: int) -> Portion:
    return Portion(row[0], tuple(row[1 : 1 + fields]), Sums(*row[1 + fields :]))


def _roll_up() -> sa.Subquery:
    return sa.select(
        usage.c.hour_at_ms.label("at_ms"), *_same(usage), *(usage.c[name] for name in Sums.__slots__)
    ).subquery()


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
