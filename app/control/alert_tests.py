"""Test messages of alerts, sent by hand to find out whether their channels deliver."""

import asyncio
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.control.alerts import show_alert
from app.core.alerts import Alert, Channel, Message, sample_message
from app.core.ids import new_id
from app.notify.notifier import NotDelivered, Notifier
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database


@dataclass(frozen=True, slots=True)
class ChannelTest:
    """Result of a test message on one channel. `error` is the reason when it was not delivered, without secrets."""

    id: str
    channel: Channel
    error: str | None

    @property
    def delivered(self) -> bool:
        return self.error is None


@dataclass(frozen=True, slots=True)
class AlertTest:
    """Results of a test of an alert, one for each of its channels."""

    alert: Alert
    sent_at_ms: int
    channels: tuple[ChannelTest, ...]


async def send_test(
    database: Database, notifier: Notifier, alert_id: str, *, currency: str, zone: ZoneInfo
) -> AlertTest:
    """Send one test message to every channel of an alert, at once and for at most a minute; a failure is not tried again.

    The audit log records it; no firing is recorded, so the alert fires as before. Raises NotFound.
    """
    alert, now_ms = await show_alert(database, alert_id), await database.now_ms()
    messages = [sample_message(new_id("msg_"), alert, now_ms, currency, zone) for _ in alert.channels]
    pairs = zip(alert.channels, messages, strict=True)
    results = tuple(await asyncio.gather(*(_send(notifier, channel, message) for channel, message in pairs)))
    outcome = {"delivered": sum(each.delivered for each in results), "channels": len(results)}
    project = alert.scope_id if alert.scope == "project" else None
    async with database.write() as connection:
        await log_changes(connection, Change("alert.tested", alert.id, None, outcome, project))
    return AlertTest(alert, now_ms, results)


async def _send(notifier: Notifier, channel: Channel, message: Message) -> ChannelTest:
    try:
        await notifier.send(channel, message)
    except NotDelivered as exc:
        return ChannelTest(message.id, channel, exc.reason)
    return ChannelTest(message.id, channel, None)
