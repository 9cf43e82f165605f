"""Limits and their counters."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import Interval
from app.core.limits import Limit, Scope, Unit
from app.store.engine import insert
from app.store.tables import api_keys, counters, limits, projects, users


@dataclass(frozen=True, slots=True)
class LimitKey:
    """Scope, model, unit and interval of a limit: its unique key in the table. `model` is empty for every model."""

    scope: Scope
    scope_id: str
    model: str
    unit: Unit
    interval: Interval


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """Counter of a limit in one interval, in the limit's unit: booked, and reserved by requests under way."""

    spent: int = 0
    held: int = 0


async def amount(connection: AsyncConnection, key: LimitKey) -> int | None:
    """Return the amount of a limit; None when there is none."""
    matches = [limits.c[name] == value for name, value in _values(key).items()]
    found: int | None = (await connection.execute(sa.select(limits.c.amount).where(*matches))).scalar_one_or_none()
    return found


async def set_amount(connection: AsyncConnection, key: LimitKey, amount: int) -> None:
    """Set or change one limit; its counters stay."""
    statement = insert(connection, limits).values(**_values(key), amount=amount)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=list(LimitKey.__slots__), set_={"amount": amount})
    )


async def remove(connection: AsyncConnection, key: LimitKey) -> bool:
    """Remove a limit; False when there was none. Its counters stay, in case it is set again within the interval."""
    matches = [limits.c[name] == value for name, value in _values(key).items()]
    result = await connection.execute(
        sa.update(limits).where(*matches, limits.c.amount.is_not(None)).values(amount=None)
    )
    return result.rowcount > 0


async def all_limits(connection: AsyncConnection) -> list[Limit]:
    """List every limit in force, those of the organization first."""
    return await _limits(connection, _IN_FORCE)


async def limits_of_scopes(connection: AsyncConnection, scopes: Iterable[tuple[str, str]]) -> list[Limit]:
    """List the limits in force at these pairs of scope and scope id."""
    matches = [sa.and_(limits.c.scope == scope, limits.c.scope_id == scope_id) for scope, scope_id in scopes]
    return await _limits(connection, _IN_FORCE.where(sa.or_(*matches)))


async def used(
    connection: AsyncConnection, starts_ms: Mapping[Interval, int], limit_ids: Collection[int]
) -> dict[int, LimitUsage]:
    """Return counters by limit id. `starts_ms` has the start of each current interval. A limit without a counter is unused."""
    current = [
        sa.and_(limits.c.interval == interval, counters.c.starts_at_ms == start)
        for interval, start in starts_ms.items()
    ]
    select = sa.select(counters.c.limit_id, counters.c.spent, counters.c.held)
    joined = select.join(limits, limits.c.id == counters.c.limit_id).where(limits.c.id.in_(limit_ids), sa.or_(*current))
    return {limit_id: LimitUsage(spent, held) for limit_id, spent, held in await connection.execute(joined)}


_ORDER = sa.case({"organization": 0, "project": 1, "user": 2}, value=limits.c.scope, else_=3)
_OWNER = sa.func.coalesce(projects.c.name, users.c.name, api_keys.c.id, "")
_IN_FORCE = (
    sa.select(limits, _OWNER.label("owner"))
    .select_from(
        limits.outerjoin(projects, sa.and_(limits.c.scope == "project", projects.c.id == limits.c.scope_id))
        .outerjoin(users, sa.and_(limits.c.scope == "user", users.c.id == limits.c.scope_id))
        .outerjoin(api_keys, sa.and_(limits.c.scope == "key", api_keys.c.id == limits.c.scope_id))
    )
    .where(limits.c.amount.is_not(None))
    .order_by(_ORDER, _OWNER, limits.c.model, limits.c.unit, limits.c.id)
)


async def _limits(connection: AsyncConnection, select: sa.Select[Any]) -> list[Limit]:
    return [Limit(**row) for row in (await connection.execute(select)).mappings()]


def _values(key: LimitKey) -> dict[str, str]:
    return {name: getattr(key, name) for name in LimitKey.__slots__}
