"""Firings of alerts and their messages. A replica claims a message before sending it; each is sent at least once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.alerts import Alert, Channel, Firing
from app.core.ids import new_id
from app.core.relay_alerts import RelayTrouble
from app.store.alerts import ALERT_COLUMNS, ALERTS, THRESHOLD, alert_of
from app.store.engine import insert
from app.store.relay_troubles import IS_TROUBLE, TROUBLE_COLUMNS, TroubleNews, trouble_of
from app.store.tables import alerts, deliveries, firings, relay_troubles

DeliveryState = Literal["pending", "delivered", "failed", "dropped"]


@dataclass(frozen=True, slots=True)
class Claim:
    """Message claimed by this process until `due_at_ms`. After that any process may send it again."""

    id: str
    firing: Firing
    channel: Channel
    attempts: int
    due_at_ms: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """State of one message. `channel` contains no secrets."""

    id: str
    channel: dict[str, Any]
    state: DeliveryState
    attempts: int
    due_at_ms: int
    ended_at_ms: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class FiringRecord:
    """Firing of an alert with its deliveries."""

    id: str
    alert_id: str
    starts_at_ms: int
    threshold: int
    used: int
    fired_at_ms: int
    deliveries: tuple[Delivery, ...]
    trouble: RelayTrouble | None = None
    """Trouble that an alert on relays told of; then `threshold` is its id, and `used` 1 for its begin, 0 for its end."""


async def fire(connection: AsyncConnection, alert: Alert, starts_at_ms: int, used: int, now_ms: int) -> str | None:
    """Record a firing, with a message for each channel, and return its id. None when this interval and threshold has fired already,
    or when the alert or the limit that it follows was changed."""
    firing_id = new_id("firing_")
    values = sa.select(
        *(sa.literal(value) for value in (firing_id, alert.id, starts_at_ms, alert.threshold, used, now_ms))
    ).where(
        sa.exists().where(
            alerts.c.id == alert.id, THRESHOLD.element == alert.threshold, alerts.c.deleted_at_ms.is_(None)
        )
    )
    columns = ["id", "alert_id", "starts_at_ms", "threshold", "used", "fired_at_ms"]
    statement = insert(connection, firings).from_select(columns, values).on_conflict_do_nothing()
    if (await connection.execute(statement)).rowcount != 1:
        return None
    await _deliver(connection, alert, firing_id, now_ms)
    return firing_id


async def fire_news(connection: AsyncConnection, news: TroubleNews, now_ms: int) -> str | None:
    """Record that an alert tells of the begin or the end of a trouble, with a message for each channel, and return the id of the
    firing. None when it was recorded before."""
    firing_id, trouble = new_id("firing_"), news.trouble
    at_ms = trouble.ended_at_ms if news.is_over else trouble.began_at_ms
    values = {"id": firing_id, "alert_id": news.alert.id, "starts_at_ms": at_ms, "threshold": trouble.id}
    statement = insert(connection, firings).values(**values, used=int(not news.is_over), fired_at_ms=now_ms)
    if (await connection.execute(statement.on_conflict_do_nothing())).rowcount != 1:
        return None
    await _deliver(connection, news.alert, firing_id, now_ms)
    return firing_id


async def _deliver(connection: AsyncConnection, alert: Alert, firing_id: str, now_ms: int) -> None:
    rows = [_new_delivery(firing_id, channel, now_ms) for channel in alert.channels]
    await connection.execute(sa.insert(deliveries), rows)


async def any_due(connection: AsyncConnection, now_ms: int) -> bool:
    """True when a message waits to be sent. Takes no lock."""
    due = sa.select(deliveries.c.id).where(deliveries.c.state == "pending", deliveries.c.due_at_ms <= now_ms)
    return (await connection.execute(due.limit(1))).first() is not None


async def undelivered(connection: AsyncConnection, since_ms: int) -> int:
    """Count the messages of alerts that were given up since an instant (Unix ms)."""
    given_up = sa.and_(deliveries.c.state == "failed", deliveries.c.ended_at_ms >= since_ms)
    return int((await connection.execute(sa.select(sa.func.count()).where(given_up))).scalar_one())


async def claim(connection: AsyncConnection, now_ms: int, lease_ms: int) -> Claim | None:
    """Claim the message that has been due longest, for `lease_ms`; None when none is due or other processes claimed them."""
    due = sa.and_(deliveries.c.state == "pending", deliveries.c.due_at_ms <= now_ms)
    found = (await connection.execute(_DUE.where(due).order_by(deliveries.c.due_at_ms).limit(8))).mappings().all()
    for row in found:
        is_deleted = row["deleted_at_ms"] is not None
        changes = {"state": "dropped", "ended_at_ms": now_ms} if is_deleted else {"due_at_ms": now_ms + lease_ms}
        mine = sa.and_(deliveries.c.id == row["delivery_id"], due, deliveries.c.due_at_ms == row["due_at_ms"])
        attempts = row["attempts"] + (not is_deleted)
        update = sa.update(deliveries).where(mine).values(**changes, attempts=attempts)
        if (await connection.execute(update)).rowcount == 1 and not is_deleted:
            return _claim(row, attempts, now_ms + lease_ms)
    return None


async def record_end(
    connection: AsyncConnection, claim: Claim, state: DeliveryState, error: str | None, at_ms: int
) -> None:
    """Record the end of a claimed message. An expired claim can record only `delivered`."""
    pending = sa.and_(deliveries.c.id == claim.id, deliveries.c.state == "pending")
    mine = pending if state == "delivered" else sa.and_(pending, deliveries.c.due_at_ms == claim.due_at_ms)
    await connection.execute(sa.update(deliveries).where(mine).values(state=state, error=error, ended_at_ms=at_ms))


async def postpone(connection: AsyncConnection, claim: Claim, error: str, due_at_ms: int) -> None:
    """Schedule another attempt at a claimed message, unless the claim has expired."""
    mine = sa.and_(
        deliveries.c.id == claim.id, deliveries.c.state == "pending", deliveries.c.due_at_ms == claim.due_at_ms
    )
    await connection.execute(sa.update(deliveries).where(mine).values(error=error, due_at_ms=due_at_ms))


async def firings_of(connection: AsyncConnection, alert_id: str, limit: int) -> list[FiringRecord]:
    """List the firings of an alert, newest first, with the state of their messages."""
    select = _FIRINGS.where(firings.c.alert_id == alert_id)
    newest = select.order_by(firings.c.fired_at_ms.desc(), firings.c.id.desc()).limit(limit)
    return await _records(connection, newest)


async def last_firings(connection: AsyncConnection, alert_ids: Sequence[str]) -> dict[str, FiringRecord]:
    """Return the last firing of each alert that has fired, by the alert's id, with the state of its messages."""
    its = firings.c.alert_id.in_(alert_ids)
    latest = sa.select(firings.c.alert_id, sa.func.max(firings.c.fired_at_ms)).where(its).group_by(firings.c.alert_id)
    select = _FIRINGS.where(sa.tuple_(firings.c.alert_id, firings.c.fired_at_ms).in_(latest))
    found = await _records(connection, select.order_by(firings.c.id))
    return {record.alert_id: record for record in found}


async def _records(connection: AsyncConnection, select: sa.Select[Any]) -> list[FiringRecord]:
    found = (await connection.execute(select)).mappings().all()
    select_deliveries = sa.select(deliveries).where(deliveries.c.firing_id.in_([row["id"] for row in found]))
    rows = (await connection.execute(select_deliveries.order_by(deliveries.c.id))).mappings().all()
    names = ("id", "alert_id", "starts_at_ms", "threshold", "used", "fired_at_ms")
    return [
        FiringRecord(
            **{name: row[name] for name in names},
            deliveries=tuple(_delivery(each) for each in rows if each["firing_id"] == row["id"]),
            trouble=None if row["trouble_id"] is None else trouble_of(row),
        )
        for row in found
    ]


_DUE: sa.Select[Any] = (
    sa.select(
        deliveries.c.id.label("delivery_id"),
        *deliveries.c["channel", "attempts", "due_at_ms"],
        firings.c.id.label("firing_id"),
        *firings.c["starts_at_ms", "used", "fired_at_ms"],
        firings.c.threshold.label("fired_threshold"),
        *ALERT_COLUMNS,
        *TROUBLE_COLUMNS,
    )
    .select_from(deliveries.join(firings, firings.c.id == deliveries.c.firing_id))
    .join(ALERTS, alerts.c.id == firings.c.alert_id)
    .outerjoin(relay_troubles, IS_TROUBLE)
)
_FIRINGS: sa.Select[Any] = (
    sa.select(*firings.c, *TROUBLE_COLUMNS)
    .join_from(firings, alerts, alerts.c.id == firings.c.alert_id)
    .outerjoin(relay_troubles, IS_TROUBLE)
)


def _claim(row: sa.RowMapping, attempts: int, due_at_ms: int) -> Claim:
    times = row["starts_at_ms"], row["fired_threshold"], row["used"], row["fired_at_ms"]
    trouble = None if row["trouble_id"] is None else trouble_of(row)
    firing = Firing(row["firing_id"], alert_of(row), *times, trouble)
    return Claim(row["delivery_id"], firing, Channel.from_json(row["channel"]), attempts, due_at_ms)


def _new_delivery(firing_id: str, channel: Channel, now_ms: int) -> dict[str, Any]:
    fresh = {"id": new_id("msg_"), "firing_id": firing_id, "channel": channel.as_json()}
    return {**fresh, "state": "pending", "attempts": 0, "due_at_ms": now_ms}


def _delivery(row: sa.RowMapping) -> Delivery:
    names = ("id", "state", "attempts", "due_at_ms", "ended_at_ms", "error")
    return Delivery(**{name: row[name] for name in names}, channel=Channel.from_json(row["channel"]).public())
