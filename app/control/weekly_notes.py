"""Weekly notes by mail or chat, for whoever wants one: subscriptions, and the chore that sends them. Every replica runs it."""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.limits import counter_states
from app.core.alerts import Channel, Message
from app.core.intervals import DAY_MS, HOUR_MS, bounds_ms, local_day
from app.core.limits import Limit
from app.core.weekly_note import OrganizationWeek, PersonWeek, note_text
from app.errors import InvalidValue
from app.notify.notifier import NotDelivered, Notifier
from app.store import limits
from app.store import usage as usage_store
from app.store import weekly_notes as store
from app.store.duplicates import duplicates_report
from app.store.engine import Database
from app.store.sign_in import Session
from app.store.usage import DuplicateSums, Sums, UsageSpan
from app.store.weekly_notes import DueNote, NoteLanguage, NoteSubscription, find_subscription

NoteWay = Literal["off", "mail", "chat"]
SENT_AT_MS = 9 * HOUR_MS
"""Time after the beginning of a week (Monday, local) at which the note about the last week is due."""
LEASE_MS = 180_000
"""Time after which another process may send a claimed note. Longer than the longest attempt."""
BACKOFF_S = (60, 600, 3600, 4 * 3600)
"""Wait after each failed attempt. After the last the note is given up until the next week."""
UNUSUAL_DAYS = 30
UNUSUAL_MAX = 3
log = structlog.get_logger()


async def set_note(
    database: Database,
    notifier: Notifier,
    person: Session,
    way: NoteWay,
    chat_url: str,
    language: NoteLanguage,
    zone: ZoneInfo,
) -> None:
    """Turn the weekly note of a person on or off; the first one comes on the next Monday. An empty `chat_url` keeps the robot that
    is set. Raises InvalidValue for a channel that cannot deliver."""
    before = await database.ask(find_subscription, person.user_id)
    url = (chat_url or (before and before.chat_url) or "") if way == "chat" else None
    if way != "off":
        try:
            await asyncio.to_thread(notifier.check, _channel(person.email, url, way))
        except NotDelivered as exc:
            raise InvalidValue(exc.reason, param="chat_url" if way == "chat" else "way") from None
    due_at_ms = _next_due_ms(await database.now_ms(), zone)
    async with database.transaction() as connection:
        if way == "off":
            await store.delete_subscription(connection, person.user_id)
        else:
            await store.put_subscription(connection, NoteSubscription(person.user_id, language, url, due_at_ms))


@dataclass(frozen=True, slots=True)
class WeeklyNotes:
    """Sender of the notes that are due. Without a `public_url`, the setting, they have no link."""

    database: Database
    notifier: Notifier
    zone: ZoneInfo
    currency: str
    public_url: str | None

    async def turn(self) -> int:
        """Send the notes that are due; returns how many were tried. Raises GatewayError."""
        tried = 0
        while (note := await self._claim()) is not None:
            tried += 1
            await self._send(note)
        return tried

    async def _claim(self) -> DueNote | None:
        now_ms = await self.database.now_ms()
        async with self.database.read() as connection:
            if not await store.any_due(connection, now_ms):
                return None
        async with self.database.transaction() as connection:
            return await store.claim(connection, now_ms, LEASE_MS)

    async def _send(self, note: DueNote) -> None:
        message = await self._message(note)
        try:
            channel = _channel(note.email, note.chat_url, "chat" if note.chat_url else "mail")
            await self.notifier.send(channel, message)
        except NotDelivered as exc:
            await self._failed(note, exc)
            return
        now_ms = await self.database.now_ms()
        async with self.database.transaction() as connection:
            await store.record_sent(connection, note, now_ms, _next_due_ms(now_ms, self.zone))

    async def _failed(self, note: DueNote, exc: NotDelivered) -> None:
        gives_up = exc.final or note.attempts > len(BACKOFF_S)
        log.warning("a weekly note was not delivered", user_id=note.user_id, reason=exc.reason, given_up=gives_up)
        now_ms = await self.database.now_ms()
        due_ms = _next_due_ms(now_ms, self.zone) if gives_up else now_ms + BACKOFF_S[note.attempts - 1] * 1000
        async with self.database.transaction() as connection:
            await store.record_failure(connection, note, exc.reason, due_ms, gives_up=gives_up)

    async def _message(self, note: DueNote) -> Message:
        week = _Week.before(await self.database.now_ms(), self.zone)
        async with self.database.read() as connection:
            person = await _person(connection, note.user_id, week, self.zone)
            organization = await _organization(connection, week, self.zone) if note.access_role == "owner" else None
        address = (
            None if self.public_url is None else f"{self.public_url.rstrip('/').removesuffix('/v1')}/console/usage"
        )
        title, text = note_text(note.language, person, organization, self.currency, self.zone, address)
        return Message(f"note_{note.user_id}_{week.first}", title, text, {})


@dataclass(frozen=True, slots=True)
class _Week:
    """Last whole week before `now_ms`: local days from `first` to before `until`, and the same in Unix ms."""

    first: str
    until: str
    since_ms: int
    until_ms: int
    now_ms: int

    @classmethod
    def before(cls, now_ms: int, zone: ZoneInfo) -> "_Week":
        until_ms, _ = bounds_ms("week", now_ms, zone)
        since_ms, _ = bounds_ms("week", until_ms - 1, zone)
        return cls(local_day(since_ms, zone), local_day(until_ms, zone), since_ms, until_ms, now_ms)

    @property
    def last(self) -> str:
        return (date.fromisoformat(self.until) - timedelta(days=1)).isoformat()


async def _person(connection: AsyncConnection, user_id: str, week: _Week, zone: ZoneInfo) -> PersonWeek:
    sums = await _sums(connection, UsageSpan(week.first, week.until, {"user": user_id}))
    repeated = await duplicates_report(connection, ("user",), week.since_ms, week.until_ms, zone)
    own = sum((each for [(_, id)], each in repeated.items() if id == user_id), DuplicateSums())
    month = await _monthly(connection, "user", user_id)
    left = None
    if month is not None:
        [state] = await counter_states(connection, [month], week.now_ms, zone)
        left = state.left
    ends_ms = bounds_ms("month", week.now_ms, zone)[1]
    assert ends_ms is not None
    dearest = await store.dearest_request(connection, user_id, week.since_ms, week.until_ms)
    return PersonWeek(
        first=week.first,
        last=week.last,
        requests=sums.requests,
        images=sums.images,
        cost_micros=sums.cost_micros,
        left_micros=left,
        resets=local_day(ends_ms, zone),
        dearest=dearest,
        avoided=own.duplicates_served,
        repeated=own.duplicates,
        repeated_micros=own.duplicates_micros,
    )


async def _organization(connection: AsyncConnection, week: _Week, zone: ZoneInfo) -> OrganizationWeek:
    starts_ms, ends_ms = bounds_ms("month", week.now_ms, zone)
    assert ends_ms is not None
    month = UsageSpan(local_day(starts_ms, zone), local_day(ends_ms, zone))
    limit = await _monthly(connection, "organization", "")
    before_ms = week.since_ms - UNUSUAL_DAYS * DAY_MS
    unusual = await store.unusual_hours(connection, before_ms, week.since_ms, week.until_ms, UNUSUAL_MAX)
    drift = await store.drift_of(connection, week.first, week.until)
    return OrganizationWeek(
        cost_micros=(await _sums(connection, UsageSpan(week.first, week.until))).cost_micros,
        month_micros=(await _sums(connection, month)).cost_micros,
        month_share=max(week.now_ms - starts_ms, HOUR_MS) / (ends_ms - starts_ms),
        limit_micros=None if limit is None else limit.amount,
        unusual=tuple(unusual),
        drift_micros=None if drift is None else drift[1] - drift[0],
    )


async def _sums(connection: AsyncConnection, span: UsageSpan) -> Sums:
    return next((row.sums for row in await usage_store.report(connection, (), span)), Sums())


async def _monthly(connection: AsyncConnection, scope: str, scope_id: str) -> Limit | None:
    """Return the monthly spend limit of a scope for all models."""
    found = await limits.limits_of_scopes(connection, [(scope, scope_id)])
    return next((each for each in found if (each.unit, each.interval, each.model) == ("micros", "month", "")), None)


def _channel(email: str | None, chat_url: str | None, way: NoteWay) -> Channel:
    """Return where a note goes. Raises a final NotDelivered for a mail to a person without an address."""
    if way == "chat":
        return Channel("chat", url=chat_url or "")
    if email is None:
        raise NotDelivered("There is no e-mail address of yours to write to; an owner can add it.", final=True)
    return Channel("email", (email,))


def _next_due_ms(now_ms: int, zone: ZoneInfo) -> int:
    _, ends_ms = bounds_ms("week", now_ms, zone)
    assert ends_ms is not None
    return ends_ms + SENT_AT_MS
