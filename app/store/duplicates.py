"""Queries of duplicates: the earlier purchase of the same pictures, and what was bought twice or served instead."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import local_day
from app.store.engine import Database, insert
from app.store.ledger.earlier import earlier_purchase_sql
from app.store.tables import api_keys, corrections, is_duplicate, projects, requests, served_duplicates, users
from app.store.usage import Dimension, DuplicateSums

QUARTER_MS = 15 * 60_000
"""All timezones begin their days at a quarter of an hour of UTC."""
Names = tuple[tuple[str, str], ...]
"""Pair (name, id) for each dimension of a report."""


@dataclass(frozen=True, slots=True)
class EarlierPurchase:
    """Settled request of which pictures are kept; `picture_id` is the first of them."""

    request_id: str
    picture_id: str
    n: int
    size: str | None
    quality: str | None
    reserved_at_ms: int


@dataclass(frozen=True, slots=True)
class PurchaseRows:
    """Purchases by the digest of their request. Raises StoreUnavailable."""

    database: Database

    async def newest(self, digest: bytes, now_ms: int, *, whole: bool) -> EarlierPurchase | None:
        """Find the newest purchase with a digest of which a picture is kept, or with `whole` all that it asked for."""
        earlier = earlier_purchase_sql(iter([":digest", ":now_ms", ":now_ms"]), whole=whole)
        columns = "r.n, r.size, r.quality, r.reserved_at_ms"
        select = sa.text(
            f"SELECT e.request_id, e.picture_id, {columns} FROM ({earlier}) e JOIN requests r ON r.id = e.request_id"  # noqa: S608
        ).bindparams(sa.bindparam("digest", digest, sa.LargeBinary), sa.bindparam("now_ms", now_ms, sa.BigInteger))
        async with self.database.read() as connection:
            row = (await connection.execute(select)).mappings().one_or_none()
        return None if row is None else EarlierPurchase(**row)

    async def note_served(self, request_id: str, api_key_id: str, hour_at_ms: int) -> None:
        """Count one more serving of the pictures of a request to a key. Raises StorageFull, too."""
        key = {"hour_at_ms": hour_at_ms, "request_id": request_id, "api_key_id": api_key_id}
        async with self.database.transaction() as connection:
            statement = insert(connection, served_duplicates).values(**key, count=1)
            more = {"count": served_duplicates.c.count + 1}
            await connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=more))


async def duplicates_report(
    connection: AsyncConnection, by: Sequence[Dimension], since_ms: int | None, until_ms: int | None, zone: ZoneInfo
) -> dict[Names, DuplicateSums]:
    """Sum duplicates by dimensions, from `since_ms` (inclusive) to `until_ms` (exclusive), in Unix ms."""
    sums: dict[Names, DuplicateSums] = defaultdict(DuplicateSums)
    for part, at_ms in ((_bought(), requests.c.reserved_at_ms), (_served(), served_duplicates.c.hour_at_ms)):
        period = [] if since_ms is None else [at_ms >= since_ms]
        period += [] if until_ms is None else [at_ms < until_ms]
        for row in (await connection.execute(_grouped(part.where(*period), by))).mappings():
            sums[_names(row, by, zone)] += DuplicateSums(*(int(row[name]) for name in DuplicateSums.__slots__))
    return dict(sums)


_KEY = ("project_id", "user_id", "model", "operation", "size", "quality")
_OWNERS = {"project": projects, "user": users, "key": api_keys}
_IDS = {"project": "project_id", "user": "user_id", "key": "api_key_id"}


def _bought() -> sa.Select[Any]:
    """Select what duplicates booked, one by one, with the corrections of each. Released ones booked nothing."""
    is_settled = requests.c.state == "settled"

    def corrected(name: str) -> sa.ColumnElement[int]:
        added = sa.select(sa.func.sum(corrections.c[name])).where(corrections.c.request_id == requests.c.id)
        return sa.func.coalesce(added.scalar_subquery(), 0)

    count = sa.case((is_settled, 1), else_=0) + corrected("requests")
    cost_micros = sa.case((is_settled, requests.c.cost_micros), else_=0) + corrected("cost_micros")
    return _select(requests.c.reserved_at_ms, requests.c.api_key_id, count, cost_micros, sa.literal(0)).where(
        is_duplicate
    )


def _served() -> sa.Select[Any]:
    columns = served_duplicates.c
    joined = served_duplicates.join(requests, requests.c.id == columns.request_id)
    select = _select(columns.hour_at_ms, columns.api_key_id, sa.literal(0), sa.literal(0), columns.count)
    return select.select_from(joined)


def _select(at_ms: Any, api_key_id: Any, *sums: Any) -> sa.Select[Any]:
    key = [sa.func.coalesce(requests.c[name], "").label(name) for name in _KEY]
    named = [amount.label(name) for name, amount in zip(DuplicateSums.__slots__, sums, strict=True)]
    return sa.select((at_ms - at_ms % QUARTER_MS).label("at_ms"), api_key_id.label("api_key_id"), *key, *named)


def _grouped(part: sa.Select[Any], by: Sequence[Dimension]) -> sa.Select[Any]:
    """Sum a part by its dimensions, and by quarters of hours where one of them is the day."""
    rows = part.subquery()
    joined: sa.FromClause = rows
    columns: list[sa.ColumnElement[Any]] = []
    for name in by:
        if name == "day":
            columns.append(rows.c.at_ms)
        elif (owners := _OWNERS.get(name)) is None:
            columns.append(rows.c[name].label(name))
        else:
            joined = joined.outerjoin(owners, owners.c.id == rows.c[_IDS[name]])
            columns += [rows.c[_IDS[name]], owners.c.name.label(name)]
    sums = [sa.func.coalesce(sa.func.sum(rows.c[name]), 0).label(name) for name in DuplicateSums.__slots__]
    return sa.select(*columns, *sums).select_from(joined).group_by(*columns)


def _names(row: sa.RowMapping, by: Sequence[Dimension], zone: ZoneInfo) -> Names:
    found = []
    for name in by:
        value = local_day(row["at_ms"], zone) if name == "day" else row[_IDS[name]] if name in _IDS else row[name]
        found.append((row[name] or value if name in _IDS else value, value))
    return tuple(found)
