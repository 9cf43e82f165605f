"""Troubles of relays in the database, what alerts have not told of them yet, and readings of what was spent at each."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.alerts import Alert
from app.core.intervals import DAY_MS
from app.core.relay_alerts import RelayTrouble, TroubleOutcome
from app.store.alerts import ALERT_COLUMNS, ALERTS, alert_of
from app.store.engine import insert
from app.store.tables import alerts, firings, is_open_trouble, relay_readings, relay_troubles

_COLUMNS = [relay_troubles.c[name] for name in RelayTrouble.__slots__]
TROUBLE_COLUMNS = tuple(column.label(f"trouble_{column.name}") for column in _COLUMNS)
IS_TROUBLE = sa.and_(alerts.c.unit == "relays", relay_troubles.c.id == firings.c.threshold)
"""Condition that joins a firing of an alert on relays with its trouble."""
LATE_MS = DAY_MS
"""Age of an end beyond which nobody is told of it any more."""


@dataclass(frozen=True, slots=True)
class TroubleNews:
    """Begin or end of a trouble that an alert has not told yet."""

    alert: Alert
    trouble: RelayTrouble
    is_over: bool


@dataclass(frozen=True, slots=True)
class SpendingReading:
    """Points that were used at a relay up to an instant (Unix ms)."""

    read_at_ms: int
    used_points: int


async def watched_days(connection: AsyncConnection) -> set[int]:
    """Return the days of balance that alerts on relays watch, 0 of those that watch none. Empty without such alerts."""
    is_on_relays = sa.and_(alerts.c.unit == "relays", alerts.c.deleted_at_ms.is_(None))
    return set((await connection.execute(sa.select(alerts.c.threshold).where(is_on_relays).distinct())).scalars())


async def begin_trouble(connection: AsyncConnection, trouble: RelayTrouble) -> bool:
    """Record a trouble, except its `id`. False when another replica has recorded it before."""
    names = ("relay", "balance_days", "code", "left_micros", "daily_micros", "began_at_ms")
    values: dict[str, Any] = {name: getattr(trouble, name) for name in names}
    statement = insert(connection, relay_troubles).values(**values, seen_at_ms=trouble.began_at_ms)
    return (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def touch_troubles(connection: AsyncConnection, ids: list[int], now_ms: int) -> None:
    """Record that these troubles were seen now."""
    mine = sa.and_(relay_troubles.c.id.in_(ids), is_open_trouble)
    await connection.execute(sa.update(relay_troubles).where(mine).values(seen_at_ms=now_ms))


async def end_trouble(
    connection: AsyncConnection, trouble: RelayTrouble, outcome: TroubleOutcome, now_ms: int, silent_ms: int
) -> bool:
    """End a trouble that nobody has seen for `silent_ms`. False when another replica sees it or has ended it."""
    silent = sa.and_(
        relay_troubles.c.id == trouble.id, is_open_trouble, relay_troubles.c.seen_at_ms <= now_ms - silent_ms
    )
    ended = sa.update(relay_troubles).where(silent).values(ended_at_ms=now_ms, outcome=outcome)
    return (await connection.execute(ended)).rowcount == 1


async def open_troubles(connection: AsyncConnection) -> dict[RelayTrouble, int]:
    """List the troubles that have not ended, each with the instant (Unix ms) at which a replica last saw it."""
    rows = (await connection.execute(sa.select(*_COLUMNS, relay_troubles.c.seen_at_ms).where(is_open_trouble))).all()
    return {RelayTrouble(*row[:-1]): row[-1] for row in rows}


async def untold_news(connection: AsyncConnection, now_ms: int, silent_ms: int) -> list[TroubleNews]:
    """List what alerts on relays have not told: begins of troubles that were seen in the last `silent_ms`, and ends of those whose
    begin they told."""
    its = sa.and_(firings.c.alert_id == alerts.c.id, firings.c.threshold == relay_troubles.c.id)
    told_begin, told_end = (sa.exists().where(its, firings.c.used == is_begin) for is_begin in (1, 0))
    begun = sa.and_(is_open_trouble, relay_troubles.c.seen_at_ms >= now_ms - silent_ms, ~told_begin)
    ended = sa.and_(relay_troubles.c.ended_at_ms > now_ms - LATE_MS, told_begin, ~told_end)
    watched = sa.or_(relay_troubles.c.balance_days == 0, relay_troubles.c.balance_days == alerts.c.threshold)
    select = sa.select(*ALERT_COLUMNS, *TROUBLE_COLUMNS).select_from(ALERTS.join(relay_troubles, watched))
    is_on_relays = sa.and_(alerts.c.unit == "relays", alerts.c.deleted_at_ms.is_(None))
    rows = (await connection.execute(select.where(is_on_relays, sa.or_(begun, ended)))).mappings()
    return [TroubleNews(alert_of(row), trouble := trouble_of(row), trouble.ended_at_ms is not None) for row in rows]


def trouble_of(row: sa.RowMapping) -> RelayTrouble:
    """Make a trouble from the columns of a row that begin with `trouble_`."""
    return RelayTrouble(**{name: row[f"trouble_{name}"] for name in RelayTrouble.__slots__})


async def add_reading(connection: AsyncConnection, relay: str, day: str, reading: SpendingReading) -> None:
    """Record a reading, unless the day has one. Those with more points are dropped: they are of another key."""
    others = sa.and_(relay_readings.c.relay == relay, relay_readings.c.used_points > reading.used_points)
    await connection.execute(sa.delete(relay_readings).where(others))
    values = {"relay": relay, "day": day, "read_at_ms": reading.read_at_ms, "used_points": reading.used_points}
    await connection.execute(insert(connection, relay_readings).values(**values).on_conflict_do_nothing())


async def oldest_reading(connection: AsyncConnection, relay: str, since_ms: int) -> SpendingReading | None:
    """Return the first reading of a relay since an instant (Unix ms); None without one."""
    columns = relay_readings.c["read_at_ms", "used_points"]
    select = sa.select(*columns).where(relay_readings.c.relay == relay, relay_readings.c.read_at_ms >= since_ms)
    row = (await connection.execute(select.order_by(relay_readings.c.read_at_ms).limit(1))).one_or_none()
    return None if row is None else SpendingReading(*row)
