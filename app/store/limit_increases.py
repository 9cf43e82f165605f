"""Increases of limits in the database: requests of members for more, and raises that end at a date."""

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import NOW_MS
from app.store.limits import LimitKey
from app.store.pages import Cursor, Page, read_page
from app.store.tables import is_open_increase, is_temporary, limit_increases, limits, users

IncreaseStatus = Literal["open", "approved", "declined"]


@dataclass(frozen=True, slots=True)
class LimitIncrease:
    """Increase of a limit. `user_id` is the person who asked for it, None where an owner raised the limit unasked.

    `asked` and `granted` come on top of the limit, in its unit. An increase with `until_ms` has an effect until `ended_at_ms`, one
    without is for good.
    """

    id: str
    limit_id: int
    user_id: str | None
    user: str | None
    asked: int
    reason: str
    state: IncreaseStatus
    created_at_ms: int
    granted: int | None = None
    answer: str = ""
    decided_by: str | None = None
    decided_at_ms: int | None = None
    until_ms: int | None = None
    from_default: int = 0
    ended_at_ms: int | None = None


async def insert_increase(connection: AsyncConnection, increase: LimitIncrease) -> None:
    """Insert an increase. Raises IntegrityError where the person has an open request for the limit."""
    values = {name: getattr(increase, name) for name in increase.__slots__ if name != "user"}
    await connection.execute(sa.insert(limit_increases).values(values))


async def find_increase(connection: AsyncConnection, id: str) -> LimitIncrease | None:
    row = (await connection.execute(_SELECT.where(limit_increases.c.id == id))).mappings().first()
    return None if row is None else LimitIncrease(**row)


async def page_of_increases(
    connection: AsyncConnection, cursor: Cursor, status: IncreaseStatus | None, user_id: str | None
) -> Page[LimitIncrease]:
    """Read a page of requests for more by creation, without those of deleted people."""
    select = _SELECT.where(limit_increases.c.user_id.is_not(None), users.c.deleted_at_ms.is_(None))
    if status is not None:
        select = select.where(limit_increases.c.state == status)
    if user_id is not None:
        select = select.where(limit_increases.c.user_id == user_id)
    order = (limit_increases.c.created_at_ms, limit_increases.c.id)
    return await read_page(connection, select, cursor, lambda row: LimitIncrease(**row), order)


async def count_open(connection: AsyncConnection) -> int:
    """Count the open requests for more."""
    joined = limit_increases.join(users, users.c.id == limit_increases.c.user_id)
    select = sa.select(sa.func.count()).select_from(joined)
    return int((await connection.execute(select.where(is_open_increase, users.c.deleted_at_ms.is_(None)))).scalar_one())


async def decide(connection: AsyncConnection, id: str, status: IncreaseStatus, **values: Any) -> bool:
    """Record the decision on an open request; False when it is not open, so that each is decided once."""
    update = sa.update(limit_increases).where(limit_increases.c.id == id, is_open_increase)
    return (await connection.execute(update.values(state=status, **values))).rowcount > 0


async def temporary_increases(connection: AsyncConnection, limit_id: int | None = None) -> list[LimitIncrease]:
    """List the increases that still go back, of one limit or of all, the first to end first."""
    select = _SELECT.where(is_temporary).order_by(limit_increases.c.until_ms, limit_increases.c.id)
    if limit_id is not None:
        select = select.where(limit_increases.c.limit_id == limit_id)
    return [LimitIncrease(**row) for row in (await connection.execute(select)).mappings()]


async def due_increases(connection: AsyncConnection) -> list[LimitIncrease]:
    """List the increases whose time is over by the database's clock and whose limit did not go back yet."""
    now_ms: sa.ColumnElement[int] = sa.literal_column(NOW_MS[connection.dialect.name])
    select = _SELECT.where(is_temporary, limit_increases.c.until_ms <= now_ms).order_by(limit_increases.c.until_ms)
    return [LimitIncrease(**row) for row in (await connection.execute(select)).mappings()]


async def end_increase(connection: AsyncConnection, id: str) -> bool:
    """Mark an increase as ended now; False when it had ended before, so that its limit goes back once."""
    return await _end(connection, limit_increases.c.id == id)


async def end_increases_of(connection: AsyncConnection, key: LimitKey) -> None:
    """Mark the increases of a limit that somebody sets or removes as ended: the new amount stays."""
    own = (limits.c[name] == getattr(key, name) for name in LimitKey.__slots__)
    await _end(connection, limit_increases.c.limit_id.in_(sa.select(limits.c.id).where(*own)))


async def was_granted_for_good(connection: AsyncConnection, limit_id: int, since_ms: int) -> bool:
    """Return whether a request for more of this limit was approved for good since an instant."""
    select = sa.select(limit_increases.c.id).where(
        limit_increases.c.limit_id == limit_id,
        limit_increases.c.state == "approved",
        limit_increases.c.until_ms.is_(None),
        limit_increases.c.decided_at_ms >= since_ms,
    )
    return (await connection.execute(select.limit(1))).first() is not None


async def inherit_default(connection: AsyncConnection, limit_id: int) -> None:
    """Let the increases of a limit that still go back lead to the default that an ended one came from."""
    own = sa.and_(limit_increases.c.limit_id == limit_id, is_temporary)
    await connection.execute(sa.update(limit_increases).where(own).values(from_default=1))


async def _end(connection: AsyncConnection, which: sa.ColumnElement[bool]) -> bool:
    now_ms: sa.ColumnElement[int] = sa.literal_column(NOW_MS[connection.dialect.name])
    update = sa.update(limit_increases).where(which, is_temporary).values(ended_at_ms=now_ms)
    return (await connection.execute(update)).rowcount > 0


_SELECT: sa.Select[Any] = sa.select(limit_increases, users.c.name.label("user")).select_from(
    limit_increases.outerjoin(users, users.c.id == limit_increases.c.user_id)
)
