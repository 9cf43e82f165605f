"""Background work for alerts: fires those whose threshold is reached and sends their messages. Every replica runs it."""

import asyncio
from dataclasses import dataclass, field
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.chores import Chore, WhenFit
from app.control.weekly_notes import WeeklyNotes
from app.core.alerts import Alert, message
from app.core.intervals import local_day
from app.notify.notifier import NotDelivered, Notifier
from app.store import alerts as store
from app.store import deliveries
from app.store.deliveries import Claim
from app.store.engine import Database

OLDER_MS = 600_000
"""Time for which the sum of the days before yesterday is cached: only reconciliation changes them."""
LEASE_MS = 120_000
"""Time after which another process may send a claimed message. Longer than the longest attempt."""
AT_ONCE = 8
BACKOFF_S = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800)
"""Wait after each failed attempt. A message is given up 16 hours after the first."""
log = structlog.get_logger()


@dataclass(slots=True)
class Alerting:
    """Chores that write to people: `fire_reached` fires alerts, `deliver` sends their messages, and weekly notes have one of their
    own. A turn without alerts costs one query. `public_url` is the setting, for links."""

    database: Database
    notifier: Notifier
    zone: ZoneInfo
    currency: str
    public_url: str | None
    _older: dict[tuple[str, str, str], tuple[int, int]] = field(default_factory=dict, init=False)
    """Sum of the days before yesterday and the instant (ms) it expires, by alert, first day and day after the last."""

    def chores(self, when_fit: WhenFit) -> tuple[Chore, ...]:
        """Make the chores, which run while `when_fit` lets them."""
        notes = WeeklyNotes(self.database, self.notifier, self.zone, self.currency, self.public_url)
        return (
            Chore("alerts", when_fit(self.fire_reached), every_s=3.0),
            Chore("alert messages", when_fit(self.deliver), every_s=3.0),
            Chore("weekly notes", when_fit(notes.turn), every_s=60.0, first_after_s=30.0),
        )

    async def fire_reached(self) -> int:
        """Fire every alert whose threshold is reached; returns how many. Raises GatewayError."""
        now_ms = await self.database.now_ms()
        recent = _day_before(local_day(now_ms, self.zone))
        async with self.database.read() as connection:
            alerts = [alert for alert in await store.all_alerts(connection) if alert.unit != "relays"]
            if not alerts:
                return 0
            starts = {alert.id: alert.interval_start(now_ms, self.zone) for alert in alerts}
            done = await store.past_firings(connection, [starts_ms for starts_ms, _ in starts.values()])
            armed = [
                alert
                for alert in alerts
                if alert.threshold is not None and (alert.id, starts[alert.id][0], alert.threshold) not in done
            ]
            rows = await store.used_since(connection, recent) if armed else []
            used = {
                alert.id: alert.sum_usage(rows, max(starts[alert.id][1], recent))
                + await self._used_before(connection, alert, starts[alert.id][1], recent, now_ms)
                for alert in armed
            }
        reached = [alert for alert in armed if used[alert.id] >= max(alert.threshold or 0, 1)]
        return sum([await self._fire(alert, starts[alert.id][0], used[alert.id], now_ms) for alert in reached])

    async def deliver(self) -> int:
        """Send the messages that are due; returns how many were tried. Raises GatewayError."""
        tried = 0
        while claims := [claim for _ in range(AT_ONCE) if (claim := await self._claim()) is not None]:
            tried += len(claims)
            await asyncio.gather(*(self._send(claim) for claim in claims))
        return tried

    async def _used_before(self, connection: AsyncConnection, alert: Alert, since: str, until: str, now_ms: int) -> int:
        if since >= until:
            return 0
        key = (alert.id, since, until)
        found = self._older.get(key)
        if found is None or found[1] <= now_ms:
            self._older = {kept: value for kept, value in self._older.items() if value[1] > now_ms}
            found = await store.used_between(connection, alert, since, until), now_ms + OLDER_MS
            self._older[key] = found
        return found[0]

    async def _fire(self, alert: Alert, starts_at_ms: int, used: int, now_ms: int) -> bool:
        async with self.database.transaction() as connection:
            firing_id = await deliveries.fire(connection, alert, starts_at_ms, used, now_ms)
        if firing_id is not None:
            log.info(
                "alert", alert_id=alert.id, firing_id=firing_id, unit=alert.unit, threshold=alert.threshold, used=used
            )
        return firing_id is not None

    async def _claim(self) -> Claim | None:
        now_ms = await self.database.now_ms()
        async with self.database.read() as connection:
            if not await deliveries.any_due(connection, now_ms):
                return None
        async with self.database.transaction() as connection:
            return await deliveries.claim(connection, now_ms, LEASE_MS)

    async def _send(self, claim: Claim) -> None:
        try:
            await self.notifier.send(claim.channel, message(claim.id, claim.firing, self.currency, self.zone))
        except NotDelivered as exc:
            await self._failed(claim, exc)
            return
        now_ms = await self.database.now_ms()
        async with self.database.transaction() as connection:
            await deliveries.record_end(connection, claim, "delivered", None, now_ms)

    async def _failed(self, claim: Claim, exc: NotDelivered) -> None:
        over = exc.final or claim.attempts > len(BACKOFF_S)
        about = {"alert_id": claim.firing.alert.id, "delivery_id": claim.id, "channel": claim.channel.type}
        (log.error if over else log.warning)("an alert was not delivered", **about, reason=exc.reason, given_up=over)
        now_ms = await self.database.now_ms()
        async with self.database.transaction() as connection:
            if over:
                await deliveries.record_end(connection, claim, "failed", exc.reason, now_ms)
            else:
                due_ms = now_ms + BACKOFF_S[claim.attempts - 1] * 1000
                await deliveries.postpone(connection, claim, exc.reason, due_ms)


def _day_before(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()
