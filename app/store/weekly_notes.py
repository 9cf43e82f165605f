"""Weekly notes in the database: who wants one, whose is due, and what it says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.actors import AccessRole
from app.core.weekly_note import DearestRequest, UnusualHour
from app.store.engine import insert
from app.store.tables import drift, requests, usage_hours, usage_series, users, weekly_notes

NoteLanguage = Literal["en", "zh"]
HOURS_MIN = 20
"""Fewest hours with usage that tell what is usual for somebody."""


@dataclass(frozen=True, slots=True)
class NoteSubscription:
    """Weekly note of a person; without a `chat_url` it goes by mail. `error` is that of the last attempt."""

    user_id: str
    language: NoteLanguage
    chat_url: str | None
    due_at_ms: int
    sent_at_ms: int | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DueNote:
    """Note that this process may send until `due_at_ms`, to an active person."""

    user_id: str
    name: str
    email: str | None
    access_role: AccessRole
    language: NoteLanguage
    chat_url: str | None
    attempts: int
    due_at_ms: int


async def find_subscription(connection: AsyncConnection, user_id: str) -> NoteSubscription | None:
    """Return the subscription of a person; None without one."""
    columns = weekly_notes.c[NoteSubscription.__slots__]
    row = (await connection.execute(sa.select(*columns).where(weekly_notes.c.user_id == user_id))).one_or_none()
    return None if row is None else NoteSubscription(*row)


async def put_subscription(connection: AsyncConnection, wanted: NoteSubscription) -> None:
    """Insert a subscription, or change where it goes; when its next note is due stays."""
    values = {"language": wanted.language, "chat_url": wanted.chat_url, "attempts": 0, "error": None}
    statement = insert(connection, weekly_notes).values(user_id=wanted.user_id, due_at_ms=wanted.due_at_ms, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["user_id"], set_=values))


async def delete_subscription(connection: AsyncConnection, user_id: str) -> None:
    await connection.execute(sa.delete(weekly_notes).where(weekly_notes.c.user_id == user_id))


async def any_due(connection: AsyncConnection, now_ms: int) -> bool:
    """True when a note waits to be sent. Takes no lock."""
    return (await connection.execute(_DUE.where(weekly_notes.c.due_at_ms <= now_ms).limit(1))).first() is not None


async def claim(connection: AsyncConnection, now_ms: int, lease_ms: int) -> DueNote | None:
    """Claim the note that has been due longest, for `lease_ms`; None when none is due or other processes claimed them."""
    select = _DUE.where(weekly_notes.c.due_at_ms <= now_ms).order_by(weekly_notes.c.due_at_ms).limit(8)
    for row in (await connection.execute(select)).mappings().all():
        mine = (weekly_notes.c.user_id == row["user_id"], weekly_notes.c.due_at_ms == row["due_at_ms"])
        changed = {"due_at_ms": now_ms + lease_ms, "attempts": row["attempts"] + 1}
        if (await connection.execute(sa.update(weekly_notes).where(*mine).values(changed))).rowcount == 1:
            return DueNote(**{**row, **changed})
    return None


async def record_sent(connection: AsyncConnection, note: DueNote, sent_at_ms: int, due_at_ms: int) -> None:
    """Record that a claimed note was sent, and when the next one is due."""
    values = {"due_at_ms": due_at_ms, "attempts": 0, "sent_at_ms": sent_at_ms, "error": None}
    await connection.execute(_claimed(note).values(values))


async def record_failure(
    connection: AsyncConnection, note: DueNote, error: str, due_at_ms: int, *, gives_up: bool
) -> None:
    """Record a failed attempt, and when the next one is due."""
    attempts = 0 if gives_up else note.attempts
    await connection.execute(_claimed(note).values(due_at_ms=due_at_ms, attempts=attempts, error=error))


async def dearest_request(
    connection: AsyncConnection, user_id: str, since_ms: int, until_ms: int
) -> DearestRequest | None:
    """Find the settled request of a user that cost most, of those reserved from `since_ms` to before `until_ms`."""
    at_ms = requests.c.reserved_at_ms
    columns = requests.c["id", "model", "size", "cost_micros", "reserved_at_ms"]
    select = sa.select(*columns).where(requests.c.user_id == user_id, at_ms >= since_ms, at_ms < until_ms)
    settled = select.where(requests.c.state == "settled", requests.c.cost_micros > 0)
    row = (await connection.execute(settled.order_by(requests.c.cost_micros.desc(), at_ms).limit(1))).one_or_none()
    return None if row is None else DearestRequest(*row)


async def unusual_hours(
    connection: AsyncConnection, before_ms: int, since_ms: int, until_ms: int, limit: int
) -> list[UnusualHour]:
    """List people's hours from `since_ms` to before `until_ms` that cost more than 95 of 100 of their own hours with usage since
    `before_ms` did: of each person the dearest, those furthest above first."""
    hour, cost_micros = usage_hours.c.hour_at_ms, sa.cast(sa.func.sum(usage_hours.c.cost_micros), sa.BigInteger)
    hours = (
        sa.select(usage_series.c.user_id, hour, cost_micros.label("cost_micros"))
        .join_from(usage_hours, usage_series, usage_series.c.id == usage_hours.c.series_id)
        .where(hour >= before_ms, hour < until_ms)
        .group_by(usage_series.c.user_id, hour)
        .cte()
    )
    ranked = (
        sa.select(
            hours.c.user_id,
            hours.c.cost_micros,
            sa.func.row_number().over(partition_by=hours.c.user_id, order_by=hours.c.cost_micros).label("place"),
            sa.func.count().over(partition_by=hours.c.user_id).label("count"),
        )
        .where(hours.c.hour_at_ms < since_ms)
        .subquery()
    )
    within = (ranked.c.place * 100 >= ranked.c.count * 95, ranked.c.count >= HOURS_MIN)
    usual = (
        sa.select(ranked.c.user_id, sa.func.min(ranked.c.cost_micros).label("usual_micros"))
        .where(*within)
        .group_by(ranked.c.user_id)
        .subquery()
    )
    above = hours.c.cost_micros - usual.c.usual_micros
    place = sa.func.row_number().over(partition_by=hours.c.user_id, order_by=(above.desc(), hours.c.hour_at_ms))
    found = (
        sa.select(hours.c.user_id, hours.c.hour_at_ms, hours.c.cost_micros, usual.c.usual_micros, place.label("place"))
        .join_from(hours, usual, usual.c.user_id == hours.c.user_id)
        .where(hours.c.hour_at_ms >= since_ms, above > 0)
        .subquery()
    )
    columns = (sa.func.coalesce(users.c.name, found.c.user_id), *found.c["hour_at_ms", "cost_micros", "usual_micros"])
    select = sa.select(*columns).select_from(found.outerjoin(users, users.c.id == found.c.user_id))
    furthest = (found.c.cost_micros - found.c.usual_micros).desc()
    rows = await connection.execute(select.where(found.c.place == 1).order_by(furthest, found.c.user_id).limit(limit))
    return [UnusualHour(*row) for row in rows]


async def drift_of(connection: AsyncConnection, since: str, until: str) -> tuple[int, int] | None:
    """Return what the book and the relay's bill have, in micros, of the measured local days from `since` to before `until`; None
    where no day was measured."""
    sums: Sequence[sa.ColumnElement[int]] = [
        sa.cast(sa.func.sum(column), sa.BigInteger) for column in (drift.c.booked_micros, drift.c.billed_micros)
    ]
    found = await connection.execute(sa.select(*sums).where(drift.c.day >= since, drift.c.day < until))
    sums_found: Sequence[int | None] = found.one()
    return None if sums_found[0] is None else (sums_found[0], sums_found[1] or 0)


_DUE = (
    sa.select(
        *(weekly_notes.c[name] for name in ("user_id", "language", "chat_url", "due_at_ms", "attempts")),
        *(users.c[name] for name in ("name", "email", "access_role")),
    )
    .join_from(weekly_notes, users, users.c.id == weekly_notes.c.user_id)
    .where(users.c.kind == "person", users.c.deleted_at_ms.is_(None), users.c.disabled_at_ms.is_(None))
)


def _claimed(note: DueNote) -> sa.Update:
    """Update a claimed note, unless the claim has expired and another process took it."""
    return sa.update(weekly_notes).where(
        weekly_notes.c.user_id == note.user_id, weekly_notes.c.due_at_ms == note.due_at_ms
    )
