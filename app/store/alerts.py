"""Alerts in the database, their past firings, and the usage they watch."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.alerts import Alert, Channel, DailyUsage
from app.core.limits import Scope
from app.store.pages import Cursor, Page, read_page
from app.store.tables import alerts, api_keys, firings, limits, projects, usage, users

FiringKey = tuple[str, int, int]
"""Alert id, start of the interval in Unix milliseconds, and threshold."""


async def insert_alert(connection: AsyncConnection, alert: Alert) -> None:
    await connection.execute(sa.insert(alerts).values(id=alert.id, created_at_ms=alert.created_at_ms, **_values(alert)))


async def update_alert(connection: AsyncConnection, alert: Alert) -> None:
    await connection.execute(sa.update(alerts).where(alerts.c.id == alert.id).values(_values(alert)))


async def delete_alert(connection: AsyncConnection, alert_id: str, at_ms: int) -> None:
    await connection.execute(sa.update(alerts).where(alerts.c.id == alert_id).values(deleted_at_ms=at_ms))


async def find_alert(connection: AsyncConnection, alert_id: str) -> Alert | None:
    """Find an alert; None for a deleted one, too."""
    row = (await connection.execute(_SELECT.where(alerts.c.id == alert_id))).mappings().one_or_none()
    return None if row is None else alert_of(row)


async def page_of_alerts(
    connection: AsyncConnection, cursor: Cursor, *, scope: Scope | None, scope_id: str | None, plain: bool
) -> Page[Alert]:
    """Read a page of alerts by creation; with `plain` only those that OpenAI's API can express."""
    select = _SELECT if scope is None else _SELECT.where(alerts.c.scope == scope)
    select = select if scope_id is None else select.where(alerts.c.scope_id == scope_id)
    select = select.where(alerts.c.plain == 1) if plain else select
    return await read_page(connection, select, cursor, alert_of, (alerts.c.created_at_ms, alerts.c.id))


async def all_alerts(connection: AsyncConnection) -> list[Alert]:
    return [alert_of(row) for row in (await connection.execute(_SELECT)).mappings()]


async def past_firings(connection: AsyncConnection, since_ms: Sequence[int]) -> set[FiringKey]:
    """Read the firings in the intervals that began at these times."""
    columns = firings.c["alert_id", "starts_at_ms", "threshold"]
    select = sa.select(*columns).where(firings.c.starts_at_ms.in_(sorted(set(since_ms))))
    return {(alert_id, starts, threshold) for alert_id, starts, threshold in await connection.execute(select)}


async def used_since(connection: AsyncConnection, day: str) -> list[DailyUsage]:
    """Sum usage from the local day `day` on, by day, project, user, key and model."""
    names = [usage.c[name] for name in ("day", "project_id", "user_id", "api_key_id", "model")]
    select = sa.select(*names, *_SUMS).where(usage.c.day >= day).group_by(*names)
    return [DailyUsage(*row) for row in await connection.execute(select)]


async def used_between(connection: AsyncConnection, alert: Alert, since: str, until: str) -> int:
    """Sum the usage that an alert watches, from the local day `since` (empty: all) to before the day `until`."""
    owners = {"project": usage.c.project_id, "user": usage.c.user_id, "key": usage.c.api_key_id}
    column = {"micros": usage.c.cost_micros, "images": usage.c.images, "requests": usage.c.requests}[alert.unit]
    select = sa.select(_to_bigint(sa.func.sum(column))).where(usage.c.day >= since, usage.c.day < until)
    if alert.scope != "organization":
        select = select.where(owners[alert.scope] == alert.scope_id)
    if alert.model:
        select = select.where(usage.c.model == alert.model)
    return int((await connection.execute(select)).scalar_one() or 0)


def alert_of(row: sa.RowMapping) -> Alert:
    names = ("id", "scope", "scope_id", "model", "unit", "interval", "threshold", "percent", "created_at_ms")
    channels = tuple(Channel.from_json(channel) for channel in row["channels"])
    return Alert(**{name: row[name] for name in names}, channels=channels, owner=row["owner"])


def _to_bigint(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Cast a sum, which PostgreSQL returns as a decimal."""
    return sa.cast(column, sa.BigInteger)


_SUMS = [_to_bigint(sa.func.sum(usage.c[name])) for name in ("cost_micros", "images", "requests")]
ALERTS = (
    alerts.outerjoin(projects, sa.and_(alerts.c.scope == "project", projects.c.id == alerts.c.scope_id))
    .outerjoin(users, sa.and_(alerts.c.scope == "user", users.c.id == alerts.c.scope_id))
    .outerjoin(api_keys, sa.and_(alerts.c.scope == "key", api_keys.c.id == alerts.c.scope_id))
)
OWNER = sa.func.coalesce(projects.c.name, users.c.name, api_keys.c.name, "").label("owner")
_LIMIT_AMOUNT = (
    sa.select(limits.c.amount)
    .where(*(limits.c[name] == alerts.c[name] for name in ("scope", "scope_id", "model", "unit", "interval")))
    .correlate(alerts)
    .scalar_subquery()
)
THRESHOLD = sa.case(
    (alerts.c.percent.is_(None), alerts.c.threshold), else_=(_LIMIT_AMOUNT * alerts.c.percent + 99) // 100
).label("threshold")
"""Threshold in force: of an alert at a per cent that of its limit, rounded up, and NULL while there is no such limit."""
ALERT_COLUMNS = (*(column for column in alerts.c if column.name != "threshold"), THRESHOLD, OWNER)
_SELECT: sa.Select[Any] = sa.select(*ALERT_COLUMNS).select_from(ALERTS).where(alerts.c.deleted_at_ms.is_(None))


def _values(alert: Alert) -> dict[str, Any]:
    names = ("scope", "scope_id", "model", "unit", "interval", "percent")
    channels = [channel.as_json() for channel in alert.channels]
    fixed = 0 if alert.percent is not None else alert.threshold
    return {
        **{name: getattr(alert, name) for name in names},
        "threshold": fixed,
        "channels": channels,
        "plain": int(alert.is_plain),
    }
