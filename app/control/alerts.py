"""Alerts: messages to chosen channels once a threshold of usage is reached."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.limits import AMOUNT_MAX, ScopeRef, check_model, scope_id_of
from app.control.names import checked_email, quoted
from app.core.alerts import Alert, AlertUnit, Channel
from app.core.ids import new_id
from app.core.intervals import COUNTED, Interval
from app.core.limits import Limit, Scope
from app.core.money import AMOUNT_MICROS_MAX, HUNDREDTH_MICROS, decimal_text
from app.errors import InvalidValue, NotFound
from app.notify.notifier import NotDelivered, Notifier
from app.notify.webhook_secret import is_webhook_secret, new_webhook_secret
from app.store import alerts as store
from app.store import deliveries
from app.store.audit_logs import Change, Facts, log_changes
from app.store.deliveries import FiringRecord
from app.store.engine import Database
from app.store.pages import Cursor, Page

UNITS: tuple[AlertUnit, ...] = get_args(AlertUnit)
CHANNELS_MAX = 10
RECIPIENTS_MAX = 50
PREFIX_CHARS_MAX = 64
FIRINGS_SHOWN = 20
BALANCE_DAYS_MAX = 365
_LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
"""Pattern of a local mailbox, which the mail server of this installation knows. OpenAI's API takes any text."""


@dataclass(frozen=True, slots=True)
class NewAlert:
    """Alert to create: at a `threshold` in `unit` (micros are whole hundredths of the currency), or without one at a `percent` of
    the limit of the same scope, model, unit and interval. Of relays the threshold is the days that each balance must last, 0 where
    none is watched, and the interval is lifetime. A webhook without a secret gets one."""

    where: ScopeRef
    unit: AlertUnit
    interval: Interval
    threshold: int | None
    channels: tuple[Channel, ...]
    model: str | None = None
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class AlertChange:
    """Change of an alert; None keeps a field. A threshold takes the place of a percent, and the other way round. A webhook whose
    URL stays keeps its secret."""

    threshold: int | None = None
    channels: tuple[Channel, ...] | None = None
    interval: Interval | None = None
    percent: int | None = None


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Filter of alerts. `plain` selects those in the form of OpenAI's spend alerts. `scope_id` is empty for the organization."""

    scope: Scope | None = None
    scope_id: str | None = None
    plain: bool = False


async def create_alert(database: Database, notifier: Notifier, wanted: NewAlert) -> Alert:
    """Create an alert. It fires at once where the threshold is already reached. Raises InvalidValue, also where there is no limit
    to take a percent of; NotFound for its scope."""
    if wanted.unit == "relays":
        wanted = replace(wanted, interval="lifetime")
    _check_amount(wanted.unit, wanted.interval, wanted.threshold, wanted.percent)
    if wanted.unit == "relays" and (wanted.where.scope != "organization" or wanted.model is not None):
        raise InvalidValue("An alert on relays is of the organization, and of all models.", param="scope")
    channels = await _checked(notifier, wanted.channels, ())
    now_ms = await database.now_ms()
    async with database.write() as connection:
        scope_id = await scope_id_of(connection, wanted.where)
        await check_model(connection, wanted.model)
        assert wanted.where.scope != "everyone", "a scope of defaults only"
        alert = Alert(
            new_id("alert_"),
            wanted.where.scope,
            scope_id,
            wanted.model or "",
            wanted.unit,
            wanted.interval,
            wanted.threshold,
            channels,
            now_ms,
            percent=wanted.percent,
        )
        await store.insert_alert(connection, alert)
        alert = _with_limit(await _get_alert(connection, alert.id, AlertFilter()))
        await log_changes(connection, Change("alert.created", alert.id, None, _facts(alert), _project(alert)))
    return alert


async def change_alert(
    database: Database, notifier: Notifier, alert_id: str, change: AlertChange, among: AlertFilter | None = None
) -> Alert:
    """Change an alert. With a new threshold it can fire again in the same interval. Raises NotFound, InvalidValue."""
    known = await show_alert(database, alert_id, among)
    channels = None if change.channels is None else await _checked(notifier, change.channels, known.channels)
    async with database.write() as connection:
        before = await _get_alert(connection, alert_id, among)
        keeps = change.threshold is None and change.percent is None
        after = replace(
            before,
            threshold=before.threshold if keeps else change.threshold,
            percent=before.percent if keeps else change.percent,
            interval=change.interval or before.interval,
            channels=channels or before.channels,
        )
        _check_amount(after.unit, after.interval, after.threshold, after.percent)
        await store.update_alert(connection, after)
        if change.interval is not None or not keeps:
            after = _with_limit(await _get_alert(connection, alert_id, AlertFilter()))
        event = Change("alert.updated", alert_id, _facts(before), _facts(after), _project(after))
        await log_changes(connection, event)
    return after


async def delete_alert(database: Database, alert_id: str, among: AlertFilter | None = None) -> Alert:
    """Delete an alert and drop its unsent messages. Raises NotFound."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        alert = await _get_alert(connection, alert_id, among)
        await store.delete_alert(connection, alert_id, now_ms)
        await log_changes(connection, Change("alert.deleted", alert_id, _facts(alert), None, _project(alert)))
    return alert


async def show_alert(database: Database, alert_id: str, among: AlertFilter | None = None) -> Alert:
    """Return an alert. Raises NotFound, also where it is not one of `among`."""
    return await database.ask(_get_alert, alert_id, among)


async def page_of_alerts(database: Database, cursor: Cursor, among: AlertFilter) -> Page[Alert]:
    """List alerts by creation. Raises InvalidValue for the cursor."""
    return await database.ask(
        store.page_of_alerts, cursor, scope=among.scope, scope_id=among.scope_id, plain=among.plain
    )


async def firings(database: Database, alert_id: str) -> list[FiringRecord]:
    """List the newest FIRINGS_SHOWN firings of an alert with their messages, newest first. Raises NotFound."""
    async with database.read() as connection:
        await _get_alert(connection, alert_id, None)
        return await deliveries.firings_of(connection, alert_id, FIRINGS_SHOWN)


async def last_firings(database: Database, listed: Sequence[Alert]) -> dict[str, FiringRecord]:
    """Return the last firing of each alert that has fired, by the alert's id."""
    return await database.ask(deliveries.last_firings, [alert.id for alert in listed])


async def _get_alert(connection: AsyncConnection, alert_id: str, among: AlertFilter | None) -> Alert:
    alert, wanted = await store.find_alert(connection, alert_id), among or AlertFilter()
    if (
        alert is None
        or (wanted.scope is not None and alert.scope != wanted.scope)
        or (wanted.scope_id is not None and alert.scope_id != wanted.scope_id)
        or (wanted.plain and not alert.is_plain)
    ):
        raise NotFound(
            f"There is no alert {quoted(alert_id)}. `imagegate alerts list` shows them all.", param="alert_id"
        )
    return alert


def _with_limit(alert: Alert) -> Alert:
    """Return the alert. Raises InvalidValue without the limit that its percent is taken of."""
    if alert.threshold is not None:
        return alert
    assert alert.unit != "relays", "it takes no percent"
    limit = Limit(0, alert.scope, alert.scope_id, alert.owner, alert.model, alert.unit, alert.interval, 0)
    cure = "Set it with `imagegate limits set`, or say at how much instead."
    message = f"There is no {limit.label} to take {alert.percent}% of. {cure}"
    raise InvalidValue(message, param="percent")


def _check_amount(unit: AlertUnit, interval: Interval, threshold: int | None, percent: int | None) -> None:
    if unit == "relays":
        _check_days(interval, threshold, percent)
        return
    if interval not in COUNTED:
        raise InvalidValue(f"An alert is per {', '.join(COUNTED)}; not per {interval}.", param="interval")
    if percent is not None:
        if not 1 <= percent <= 100:
            raise InvalidValue("The percent of a limit goes from 1 to 100.", param="percent")
        return
    assert threshold is not None
    most = AMOUNT_MICROS_MAX if unit == "micros" else AMOUNT_MAX
    if not 0 <= threshold <= most or (unit == "micros" and threshold % HUNDREDTH_MICROS):
        text = f"{decimal_text(most)}, in whole hundredths" if unit == "micros" else str(most)
        raise InvalidValue(f"The threshold goes from 0 (told with the first use) to {text}.", param="threshold_amount")


def _check_days(interval: Interval, days: int | None, percent: int | None) -> None:
    if percent is not None or interval != "lifetime":
        raise InvalidValue("An alert on relays has no percent, and no interval but lifetime.", param="unit")
    if days is None or not 0 <= days <= BALANCE_DAYS_MAX:
        message = f"The days that a balance must last go from 0 (no balance is watched) to {BALANCE_DAYS_MAX}."
        raise InvalidValue(message, param="threshold")


async def _checked(notifier: Notifier, channels: Sequence[Channel], before: Sequence[Channel]) -> tuple[Channel, ...]:
    if not 1 <= len(channels) <= CHANNELS_MAX:
        raise InvalidValue(f"An alert has 1 to {CHANNELS_MAX} notification channels.", param="notification_channels")
    return tuple([await _checked_one(notifier, channel, before) for channel in channels])


async def _checked_one(notifier: Notifier, channel: Channel, before: Sequence[Channel]) -> Channel:
    if channel.type == "email":
        _check_mail(channel)
    try:
        await asyncio.to_thread(notifier.check, channel)
    except NotDelivered as exc:
        param = "notification_channels" if channel.type == "email" else "url"
        raise InvalidValue(exc.reason, param=param) from None
    if channel.type != "webhook":
        return channel
    if channel.secret and not is_webhook_secret(channel.secret):
        message = "The secret of a webhook is whsec_ and 24 to 64 bytes in base64; leave it out and one is made."
        raise InvalidValue(message, param="secret")
    kept = next((each.secret for each in before if each.type == "webhook" and each.url == channel.url), None)
    return replace(channel, secret=channel.secret or kept or new_webhook_secret())


def _check_mail(channel: Channel) -> None:
    if not 1 <= len(channel.recipients) <= RECIPIENTS_MAX:
        raise InvalidValue(f"A mail goes to 1 to {RECIPIENTS_MAX} recipients.", param="recipients")
    for recipient in channel.recipients:
        if _LOCAL.fullmatch(recipient):
            continue
        checked_email(recipient)
        if not recipient.isascii() or "," in recipient:
            raise InvalidValue(
                f"The email {quoted(recipient)} is not an address like lin@example.com.", param="recipients"
            )
    prefix = channel.subject_prefix
    if prefix is not None and not (len(prefix) <= PREFIX_CHARS_MAX and (prefix.isprintable() or not prefix)):
        message = f"A subject prefix has at most {PREFIX_CHARS_MAX} visible characters."
        raise InvalidValue(message, param="subject_prefix")


def _project(alert: Alert) -> str | None:
    return alert.scope_id if alert.scope == "project" else None


def _facts(alert: Alert) -> Facts:
    names = ("scope", "scope_id", "model", "unit", "interval", "threshold", "percent")
    return {
        **{name: getattr(alert, name) for name in names},
        "channels": [channel.public() for channel in alert.channels],
    }
