"""Limits as they are set, and how much of them is used."""

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
class Place:
    """Scope, model, unit and interval of a limit: unique in the table."""

    scope: Scope
    scope_id: str
    model: str
    unit: Unit
    interval: Interval


@dataclass(frozen=True, slots=True)
class Used:
    spent: int = 0
    held: int = 0


async def amount(connection: AsyncConnection, place: Place) -> int | None:
    """The amount in force; None for no limit."""
    there = [limits.c[name] == value for name, value in _values(place).items()]
    found: int | None = (await connection.execute(sa.select(limits.c.amount).where(*there))).scalar_one_or_none()
    return found


async def set_amount(connection: AsyncConnection, place: Place, amount: int) -> None:
    """Set or change one limit; its counters stay."""
    statement = insert(connection, limits).values(**_values(place), amount=amount)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=list(Place.__slots__), set_={"amount": amount})
    )


async def remove(connection: AsyncConnection, place: Place) -> bool:
    """Remove a limit; False when there was none. Its counters stay, for the interval it may be set again in."""
    there = [limits.c[name] == value for name, value in _values(place).items()]
    result = await connection.execute(sa.update(limits).where(*there, limits.c.amount.is_not(None)).values(amount=None))
    return result.rowcount > 0


async def all_limits(connection: AsyncConnection) -> list[Limit]:
    """Every limit in force, organization first."""
    return await _limits(connection, _IN_FORCE)


async def of_scopes(connection: AsyncConnection, scopes: Iterable[tuple[str, str]]) -> list[Limit]:
    """The limits in force at these (scope, scope id)."""
    stand = [sa.and_(limits.c.scope == scope, limits.c.scope_id == scope_id) for scope, scope_id in scopes]
    return await _limits(connection, _IN_FORCE.where(sa.or_(*stand)))


async def used(
    connection: AsyncConnection, starts_ms: Mapping[Interval, int], limit_ids: Collection[int]
) -> dict[int, Used]:
    """Counters of the intervals that start then, by limit id. A limit without one has nothing spent or held."""
    current = [
        sa.and_(limits.c.interval == interval, counters.c.starts_at_ms == start)
        for interval, start in starts_ms.items()
    ]
    select = sa.select(counters.c.limit_id, counters.c.spent, counters.c.held)
    joined = select.join(limits, limits.c.id == counters.c.limit_id).where(limits.c.id.in_(limit_ids), sa.or_(*current))
    return {limit_id: Used(spent, held) for limit_id, spent, held in await connection.execute(joined)}


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


def _values(place: Place) -> dict[str, str]:
    return {name: getattr(place, name) for name in Place.__slots__}
