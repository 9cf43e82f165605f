"""Check of the channels of alerts: what can be known without sending a message."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.findings import Finding
from app.core.alerts import Alert, Channel
from app.notify.notifier import NotDelivered, Notifier
from app.store import alerts as store
from app.store.deliveries import firings_of
from app.store.engine import Database

ALERTS_MAX = 100
NAMED_MAX = 10


async def check_alerts(database: Database, notifier: Notifier) -> Finding:
    """Check that each channel works with the settings, and that the last message over it arrived. Sends nothing; asks the mail
    server whether it takes the login."""
    async with database.read() as connection:
        alerts = (await store.all_alerts(connection))[:ALERTS_MAX]
        lost = {alert.id: await _lost(connection, alert) for alert in alerts}
    if not alerts:
        cure = "`imagegate alerts create --organization --spend AMOUNT --mail ADDRESS`"
        return Finding("alerts", "ok", f"There is none. Make one with: {cure}")
    probes, wrong = _Probes(notifier), {}
    for alert in alerts:
        reasons = [f"the limit is not set that {alert.percent}% is of"] if alert.threshold is None else []
        found = {_name(each): await probes.why_not(each) or lost[alert.id].get(_name(each)) for each in alert.channels}
        reasons += [f"{name}: {why.rstrip('.')}" for name, why in found.items() if why is not None]
        if reasons:
            wrong[alert.id] = f"{alert.id} ({'; '.join(reasons)})"
    if wrong:
        more = f" and {len(wrong) - NAMED_MAX} more" * (len(wrong) > NAMED_MAX)
        told = f"{', '.join(list(wrong.values())[:NAMED_MAX])}{more}"
        cure = f"`imagegate alerts test {next(iter(wrong))}`"
        return Finding("alerts", "warning", f"Nobody is told by {told}. When that is mended, try: {cure}")
    channels = sum(len(alert.channels) for alert in alerts)
    return Finding(
        "alerts", "ok", f"Nothing stands against its channels ({channels}). Try one: `imagegate alerts test ID`"
    )


@dataclass(frozen=True, slots=True)
class _Probes:
    """Probes of channels, each made once: all mails go over one server."""

    notifier: Notifier
    seen: dict[str, str | None] = field(default_factory=dict)

    async def why_not(self, channel: Channel) -> str | None:
        """Return the reason why a channel cannot deliver with these settings; None when nothing stands against it."""
        key = channel.type if channel.type == "email" else channel.url
        if key not in self.seen:
            try:
                await self.notifier.probe(channel)
                self.seen[key] = None
            except NotDelivered as exc:
                self.seen[key] = exc.reason
        return self.seen[key]


async def _lost(connection: AsyncConnection, alert: Alert) -> dict[str, str]:
    """Return the errors of the alert's last firing by channel, where its message has not arrived."""
    return {
        _name(Channel.from_json(delivery.channel)): f"its last message did not arrive, {delivery.error}"
        for firing in await firings_of(connection, alert.id, 1)
        for delivery in firing.deliveries
        if delivery.error is not None and delivery.state != "delivered"
    }


def _name(channel: Channel) -> str:
    shown = channel.public()
    return ", ".join(channel.recipients) if channel.type == "email" else str(shown["url"])
