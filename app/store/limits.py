"""Limits and their counters."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.intervals import Interval
from app.core.limits import Limit, LimitScope, Unit
from app.store.engine import insert
from app.store.tables import api_keys, counters, limits, project_users, projects, users


@dataclass(frozen=True, slots=True)
class LimitKey:
    """Scope, model, unit and interval of a limit: its unique key in the table. `model` is empty for every model."""

    scope: LimitScope
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
    """Return the amount of a limit; None when there is none, or only one that comes from a default."""
    found: int | None = (await connection.execute(sa.select(limits.c.amount).where(*_own(key)))).scalar_one_or_none()
    return found


async def set_amount(connection: AsyncConnection, key: LimitKey, amount: int) -> None:
    """Set or change one limit; its counters stay, even if a default had made the limit."""
    values = {"amount": amount, "default_of": None}
    statement = insert(connection, limits).values(**_values(key), **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=list(LimitKey.__slots__), set_=values))


async def remove(connection: AsyncConnection, key: LimitKey) -> bool:
    """Remove a limit; False when there was none. Its counters stay, in case it is set again within the interval."""
    result = await connection.execute(
        sa.update(limits).where(*_own(key), limits.c.amount.is_not(None)).values(amount=None)
    )
    return result.rowcount > 0


async def raise_amount(connection: AsyncConnection, limit_id: int, by: int, most: int) -> bool:
    """Put an amount on top of a limit, which is the person's own from then on where it came from a default. False, and nothing is
    changed, where the limit was removed or would exceed `most`."""
    own = (limits.c.id == limit_id, limits.c.amount.is_not(None), limits.c.amount <= most - by)
    update = sa.update(limits).where(*own).values(amount=limits.c.amount + by, default_of=None)
    return (await connection.execute(update)).rowcount > 0


async def lower_amount(connection: AsyncConnection, limit_id: int, by: int) -> bool:
    """Take an amount off a limit, down to 0; False where it was removed or comes from a default."""
    own = (limits.c.id == limit_id, limits.c.amount.is_not(None), limits.c.default_of.is_(None))
    lower = sa.case((limits.c.amount > by, limits.c.amount - by), else_=0)
    return (await connection.execute(sa.update(limits).where(*own).values(amount=lower))).rowcount > 0


async def apply_defaults(
    connection: AsyncConnection, *, user_id: str | None = None, like: LimitKey | None = None
) -> None:
    """Bring the limits that users have from defaults up to date: of one user or of all, of every kind or of that of `like`.

    A user has one limit of a kind (model, unit, interval): their own; else the smallest default of their projects; else the
    organization's default. It is one row with the same counters throughout. The transaction must be one of `Database.write`:
    those run one after another, so that no user is made beside a default that does not know of them.
    """
    kind = {} if like is None else {name: getattr(like, name) for name in _KIND}
    mine = {} if user_id is None else {"scope_id": user_id}
    due = [limits.c[name] == value for name, value in ({"scope": "user"} | mine | kind).items()]
    cleared = sa.update(limits).where(*due, limits.c.default_of.is_not(None))
    await connection.execute(cleared.values(amount=None, default_of=None))
    wanted = [_REACH.c.user_id == value for value in mine.values()]
    select = _FROM_DEFAULTS.where(*wanted, *(_DEFAULTS.c[name] == value for name, value in kind.items())).subquery()
    names = (*LimitKey.__slots__, "amount", "default_of")
    rows = sa.select(*select.c[names]).where(select.c.rank == 1)
    statement = insert(connection, limits).from_select(list(names), rows)
    values = {name: statement.excluded[name] for name in ("amount", "default_of")}
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(LimitKey.__slots__), set_=values, where=limits.c.amount.is_(None)
        )
    )


async def all_limits(connection: AsyncConnection) -> list[Limit]:
    """List every limit in force, those of the organization first, then the defaults."""
    return await _limits(connection, _IN_FORCE)


async def limits_of_scopes(connection: AsyncConnection, scopes: Iterable[tuple[str, str]]) -> list[Limit]:
    """List the limits in force at these pairs of scope and scope id."""
    matches = [sa.and_(limits.c.scope == scope, limits.c.scope_id == scope_id) for scope, scope_id in scopes]
    return await _limits(connection, _IN_FORCE.where(sa.or_(*matches)))


async def limits_of_all(connection: AsyncConnection) -> list[Limit]:
    """List the limits of the organization, and the defaults of it and of each project."""
    return await _limits(connection, _IN_FORCE.where(limits.c.scope.in_(("organization", "everyone"))))


async def limits_by_id(connection: AsyncConnection, ids: Collection[int]) -> list[Limit]:
    """List those of these limits that are in force."""
    return await _limits(connection, _IN_FORCE.where(limits.c.id.in_(ids))) if ids else []


async def limits_beside_defaults(connection: AsyncConnection, scope_id: str) -> list[Limit]:
    """List the limits of users of each kind that has a default in the organization (empty) or in this project: those that come
    from a default, and those of their own in its place."""
    kinds = sa.select(*_DEFAULTS.c[_KIND]).where(*_IS_DEFAULT, _DEFAULTS.c.scope_id == scope_id)
    select = _IN_FORCE.where(
        limits.c.scope == "user",
        users.c.deleted_at_ms.is_(None),
        sa.tuple_(*limits.c[_KIND]).in_(kinds),
        limits.c.scope_id.in_(sa.select(_REACH.c.user_id).where(_REACH.c.scope_id == scope_id)),
    )
    return await _limits(connection, select)


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


_KIND = ("model", "unit", "interval")
_ORDER = sa.case({"organization": 0, "everyone": 1, "project": 2, "user": 3}, value=limits.c.scope, else_=4)
_OWNER = sa.func.coalesce(projects.c.name, users.c.name, api_keys.c.id, "")
_IN_FORCE = (
    sa.select(limits, _OWNER.label("owner"))
    .select_from(
        limits.outerjoin(
            projects, sa.and_(limits.c.scope.in_(("project", "everyone")), projects.c.id == limits.c.scope_id)
        )
        .outerjoin(users, sa.and_(limits.c.scope == "user", users.c.id == limits.c.scope_id))
        .outerjoin(api_keys, sa.and_(limits.c.scope == "key", api_keys.c.id == limits.c.scope_id))
    )
    .where(limits.c.amount.is_not(None))
    .order_by(_ORDER, _OWNER, limits.c.model, limits.c.unit, limits.c.id)
)


_DEFAULTS = limits.alias("defaults")
_IS_DEFAULT = (_DEFAULTS.c.scope == "everyone", _DEFAULTS.c.amount.is_not(None))
_REACH = sa.union_all(
    sa.select(users.c.id.label("user_id"), sa.literal("").label("scope_id")),
    sa.select(project_users.c.user_id, project_users.c.project_id)
    .join_from(project_users, projects)
    .where(projects.c.archived_at_ms.is_(None)),
).subquery("reach")
"""Defaults of which `scope_id` hold for each user: the organization's, and those of their projects in use."""
_FROM_DEFAULTS = (
    sa.select(
        sa.literal("user").label("scope"),
        users.c.id.label("scope_id"),
        *_DEFAULTS.c[(*_KIND, "amount")],
        _DEFAULTS.c.scope_id.label("default_of"),
        sa.func.row_number()
        .over(
            partition_by=[users.c.id, *_DEFAULTS.c[_KIND]],
            order_by=[_DEFAULTS.c.scope_id == "", _DEFAULTS.c.amount, _DEFAULTS.c.id],
        )
        .label("rank"),
    )
    .select_from(_DEFAULTS)
    .join(_REACH, _REACH.c.scope_id == _DEFAULTS.c.scope_id)
    .join(users, users.c.id == _REACH.c.user_id)
    .where(users.c.deleted_at_ms.is_(None), *_IS_DEFAULT)
)
"""Defaults that hold for each user. The one of rank 1 of a kind is the user's: a project's before the organization's."""


async def _limits(connection: AsyncConnection, select: sa.Select[Any]) -> list[Limit]:
    return [Limit(**row) for row in (await connection.execute(select)).mappings()]


def _own(key: LimitKey) -> list[sa.ColumnElement[bool]]:
    return [limits.c.default_of.is_(None), *(limits.c[name] == value for name, value in _values(key).items())]


def _values(key: LimitKey) -> dict[str, str]:
    return {name: getattr(key, name) for name in LimitKey.__slots__}
