"""Usage in buckets of time: hours and days from the roll-ups, minutes from the requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import DAY_MS, HOUR_MS
from app.store.tables import api_keys, corrections, projects, requests, usage_days, usage_hours, usage_series, users
from app.store.usage import Sums

Field = Literal["project_id", "user_id", "api_key_id", "model", "operation", "size"]
Row = Sequence[int]
"""Sums of one bucket and one group: the bucket's instant in ms, the group's number, then the sums that were asked for."""


@dataclass(frozen=True, slots=True)
class BucketRange:
    """Time from `start_ms` (inclusive) to `end_ms` (exclusive), split at UTC multiples of `width_ms`.

    With a width below an hour it is read from the requests, so it should be short. Otherwise it begins and ends with an hour.
    """

    start_ms: int
    end_ms: int
    width_ms: int


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Filter and grouping of usage. `only` has the values to select by field, `items` pairs of model and operation.

    The sums of tokens, a sixth of the time, are read only `with_tokens`.
    """

    by: tuple[Field, ...] = ()
    only: Mapping[Field, tuple[str, ...]] = field(default_factory=dict)
    items: tuple[tuple[str, str], ...] = ()
    with_tokens: bool = False

    @property
    def sums(self) -> tuple[str, ...]:
        """Names of the sums to read, in the order of Sums."""
        return Sums.__slots__ if self.with_tokens else Sums.__slots__[:3]


class BucketSums(NamedTuple):
    """Sums by bucket. `rows` are sorted by time, then group number; `groups` has the values of each group by number."""

    rows: Sequence[Row]
    groups: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ReportNames:
    """Names by id."""

    projects: Mapping[str, str]
    users: Mapping[str, str]
    keys: Mapping[str, str]


async def sums(connection: AsyncConnection, span: BucketRange, wanted: UsageFilter) -> BucketSums:
    """Sum usage by bucket and group. Buckets without usage have no row."""
    if span.width_ms < HOUR_MS:
        return _numbered(await _of_requests(connection, span, wanted), wanted)
    rows: list[Row] = []
    for part in _roll_up_ranges(span):
        rows += await _of_roll_up(connection, part, span.width_ms, wanted)
    return BucketSums(rows, await _groups(connection, wanted))


async def read_names(connection: AsyncConnection) -> ReportNames:
    """Read the names of projects, users and keys, deleted ones included."""

    async def of(table: sa.Table) -> dict[str, str]:
        rows = (await connection.execute(sa.select(table.c.id, table.c.name))).all()
        return {row.id: row.name for row in rows}

    return ReportNames(await of(projects), await of(users), await of(api_keys))


class _RollUp(NamedTuple):
    """Table of a roll-up, and the step between the instants in its column `at_ms`."""

    table: sa.Table
    at_ms: sa.ColumnElement[int]
    step_ms: int


class _RollUpRange(NamedTuple):
    """Range of time, and the roll-up to read it from."""

    source: _RollUp
    start_ms: int
    end_ms: int


_HOURS = _RollUp(usage_hours, usage_hours.c.hour_at_ms, HOUR_MS)
_DAYS = _RollUp(usage_days, usage_days.c.day_at_ms, DAY_MS)


def _roll_up_ranges(span: BucketRange) -> list[_RollUpRange]:
    """Split a range by roll-up, in the order of time: whole days from the one by day, parts of days from the one by hour."""
    start_ms, end_ms = span.start_ms, span.end_ms
    if span.width_ms < DAY_MS:
        return [_RollUpRange(_HOURS, start_ms, end_ms)]
    first_ms = min(-(-start_ms // DAY_MS) * DAY_MS, end_ms)
    last_ms = max(end_ms // DAY_MS * DAY_MS, first_ms)
    parts = (
        _RollUpRange(_HOURS, start_ms, first_ms),
        _RollUpRange(_DAYS, first_ms, last_ms),
        _RollUpRange(_HOURS, last_ms, end_ms),
    )
    return [part for part in parts if part.start_ms < part.end_ms]


async def _of_roll_up(
    connection: AsyncConnection, part: _RollUpRange, width_ms: int, wanted: UsageFilter
) -> Sequence[Sequence[Any]]:
    """Sum a part of the range by group number. Grouping and sorting by text would take the database twice as long."""
    source, at_ms, step_ms = part.source
    # Grouping by the primary key itself needs no sort.
    bucket = at_ms if step_ms == width_ms else at_ms - at_ms % width_ms
    within = (at_ms >= part.start_ms, at_ms < part.end_ms)
    if not (wanted.by or wanted.only or wanted.items):
        return await _summed(connection, sa.select().where(*within), source, (bucket,), wanted)
    numbers = sa.select(usage_series.c.id, _number(wanted)).where(*_filters(usage_series, wanted)).subquery()
    joined = sa.select().join_from(source, numbers, numbers.c.id == source.c.series_id).where(*within)
    key = (bucket, numbers.c.number) if wanted.by else (bucket,)
    return await _summed(connection, joined, source, key, wanted)


async def _summed(
    connection: AsyncConnection,
    select: sa.Select[Any],
    source: sa.FromClause,
    key: tuple[sa.ColumnElement[Any], ...],
    wanted: UsageFilter,
) -> Sequence[Sequence[Any]]:
    """Sum by `key`: the bucket, then the columns of the group; without these the group is 0."""
    bucket, *groups = key
    amounts = {name: sa.cast(sa.func.sum(source.c[name]), sa.BigInteger) for name in wanted.sums}
    sums_select = select.add_columns(bucket, *(groups or [_SINGLE_GROUP]), *amounts.values()).group_by(*key)
    found = (await connection.execute(sums_select.order_by(*key))).cursor
    assert found is not None, "a select has a cursor"
    return found.fetchall()  # The driver's tuples: rows of SQLAlchemy's take twice as long to read.


async def _groups(connection: AsyncConnection, wanted: UsageFilter) -> dict[int, tuple[str, ...]]:
    if not wanted.by:
        return {0: ()}
    select = sa.select(_number(wanted), *usage_series.c[wanted.by]).where(*_filters(usage_series, wanted)).distinct()
    return {number: tuple(values) for number, *values in (await connection.execute(select)).all()}


def _number(wanted: UsageFilter) -> sa.ColumnElement[int]:
    """Number groups by the order of their values."""
    if not wanted.by:
        return _SINGLE_GROUP.label("number")
    return sa.func.dense_rank().over(order_by=usage_series.c[wanted.by]).label("number")


def _filters(source: sa.FromClause, wanted: UsageFilter) -> list[sa.ColumnElement[bool]]:
    item = sa.tuple_(source.c.model, source.c.operation)
    items: list[sa.ColumnElement[bool]] = [item.in_(wanted.items)] if wanted.items else []
    return [*(source.c[name].in_(values) for name, values in wanted.only.items()), *items]


_SINGLE_GROUP: sa.ColumnElement[int] = sa.literal_column("0", sa.BigInteger)


async def _of_requests(connection: AsyncConnection, span: BucketRange, wanted: UsageFilter) -> Sequence[Sequence[Any]]:
    """Sum requests as the roll-ups are summed. Each row has its group's values; `_numbered` replaces them by a number."""
    source = _requests_and_corrections(span)
    key = (source.c.at_ms - source.c.at_ms % span.width_ms, *(source.c[name] for name in wanted.by))
    return await _summed(connection, sa.select().where(*_filters(source, wanted)), source, key, wanted)


def _numbered(rows: Sequence[Sequence[Any]], wanted: UsageFilter) -> BucketSums:
    """Replace the values of each row by the number of their group."""
    numbers: dict[tuple[str, ...], int] = {}
    found = []
    for row in rows:
        values, sums = tuple(row[1 : len(wanted.by) + 1]), row[-len(wanted.sums) :]
        found.append((row[0], numbers.setdefault(values, len(numbers)), *sums))
    return BucketSums(found, {number: values for values, number in numbers.items()})


def _requests_and_corrections(span: BucketRange) -> sa.Subquery:
    """Select settled requests and all corrections at the instant of the request, the source of the roll-ups."""
    within = sa.and_(requests.c.reserved_at_ms >= span.start_ms, requests.c.reserved_at_ms < span.end_ms)
    names = ("project_id", "user_id", "api_key_id", "model", "operation")
    size = sa.func.coalesce(requests.c.size, "").label("size")
    facts = [requests.c.reserved_at_ms.label("at_ms"), *requests.c[names], size]
    tokens = [sa.func.coalesce(requests.c[name], 0).label(name) for name in ("input_tokens", "output_tokens")]
    one, none = sa.literal(1).label("requests"), sa.literal(0)
    settled = sa.select(*facts, one, requests.c.images, requests.c.cost_micros, *tokens)
    corrected = sa.select(*facts, *corrections.c["requests", "images", "cost_micros"], none, none).join_from(
        requests, corrections, corrections.c.request_id == requests.c.id
    )
    return sa.union_all(settled.where(within, requests.c.state == "settled"), corrected.where(within)).subquery()
