"""Limits: set, remove and list them with their use."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.keys import get_key
from app.control.names import quoted
from app.control.people import get_user
from app.control.projects import get_project
from app.core.intervals import COUNTED, Interval, bounds_ms
from app.core.limits import Limit, LimitScope, Unit
from app.core.money import AMOUNT_MICROS_MAX, HUNDREDTH_MICROS, decimal_text
from app.errors import InvalidValue
from app.store import limits as store
from app.store import prices
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.keys import KeyRecord
from app.store.limit_increases import end_increases_of
from app.store.limits import LimitKey, LimitUsage

AMOUNT_MAX = 1_000_000_000
"""Largest amount of a limit that is not in money."""

_ALLOWED: dict[Unit, tuple[Interval, ...]] = {
    "micros": COUNTED,
    "images": ("minute", *COUNTED),
    "requests": ("minute", *COUNTED),
    "in_flight": ("lifetime",),
}


@dataclass(frozen=True, slots=True)
class ScopeRef:
    """Scope named in a request: `reference` is a project or user by name or id, a key by id, empty for the organization. Of
    `everyone` it is a project, or empty for everyone of the organization."""

    scope: LimitScope
    reference: str = ""


@dataclass(frozen=True, slots=True)
class LimitChange:
    """Limit to set, or with `amount` None to remove. The interval of in_flight is `lifetime`."""

    unit: Unit
    interval: Interval
    amount: int | None


@dataclass(frozen=True, slots=True)
class LimitState:
    """Limit and its use in the current interval. The use is None for a rate (per minute), which is not in a counter, and for a
    default, which is counted for each user.

    `left` is negative when the limit was lowered or an answer cost more than its quote. `resets_at_ms` is None for a lifetime.
    """

    limit: Limit
    spent: int | None
    held: int | None
    left: int | None
    resets_at_ms: int | None


async def set_limits(
    database: Database, zone: ZoneInfo, where: ScopeRef, model: str | None, changes: Sequence[LimitChange]
) -> list[LimitState]:
    """Make all the changes or none, in one write. Returns the limits of this scope and model after it.

    Raises InvalidValue; NotFound for scope or model.
    """
    for change in changes:
        check_change(change)
    now_ms = await database.now_ms()
    async with database.write() as connection:
        scope_id = await scope_id_of(connection, where)
        await check_model(connection, model)
        await apply_limits(connection, where.scope, scope_id, model, changes)
        found = await store.limits_of_scopes(connection, [(where.scope, scope_id)])
        return await counter_states(
            connection, [limit for limit in found if limit.model == (model or "")], now_ms, zone
        )


async def apply_limits(
    connection: AsyncConnection, scope: LimitScope, scope_id: str, model: str | None, changes: Sequence[LimitChange]
) -> None:
    """Set limits in the caller's transaction and log each change. Scope and model must exist. Raises InvalidValue.

    A default changes with it the limits of the users who have it; a user whose own limit is removed has the default again.
    """
    for change in changes:
        check_change(change)
        key = LimitKey(scope, scope_id, model or "", change.unit, change.interval)
        before = await store.amount(connection, key)
        await end_increases_of(connection, key)
        if change.amount is None:
            await store.remove(connection, key)
        else:
            await store.set_amount(connection, key, change.amount)
        if scope == "everyone":
            await store.apply_defaults(connection, like=key)
        elif scope == "user" and change.amount is None:
            await store.apply_defaults(connection, user_id=scope_id, like=key)
        await log_changes(connection, limit_change_of(key, before, change.amount))


def limit_change_of(key: LimitKey, before: int | None, after: int | None) -> Change:
    """Make the audit log entry of a limit whose amount changes; None stands for no limit. Rates of a project have OpenAI's event,
    others `limit.*`."""
    kind = "rate_limit" if key.scope == "project" and key.interval == "minute" else "limit"
    facts = {name: getattr(key, name) for name in LimitKey.__slots__}
    return Change(
        f"{kind}.{'deleted' if after is None else 'updated'}",
        key.scope_id or key.scope,
        None if before is None else {**facts, "amount": before},
        None if after is None else {**facts, "amount": after},
        key.scope_id or None if key.scope in ("project", "everyone") else None,
    )


async def show_limits(
    database: Database, zone: ZoneInfo, where: ScopeRef | None = None, model: str | None = None
) -> list[LimitState]:
    """List limits with their use, of one scope or of all. `model` selects those for one model, empty those for any. After the
    defaults of `everyone` come the limits of the users who have them, or have one of their own in their place.

    Raises NotFound for the scope.
    """
    now_ms = await database.now_ms()
    async with database.read() as connection:
        if where is None:
            limits = await store.all_limits(connection)
        else:
            scope_id = await scope_id_of(connection, where)
            limits = await store.limits_of_scopes(connection, [(where.scope, scope_id)])
            if where.scope == "everyone":
                limits += await store.limits_beside_defaults(connection, scope_id)
        wanted = [limit for limit in limits if model is None or limit.model == model]
        return await counter_states(connection, wanted, now_ms, zone)


async def limits_of_keys(database: Database, zone: ZoneInfo, keys: Sequence[KeyRecord]) -> dict[str, list[LimitState]]:
    """List by key id the limits that hold for each key: its own, its user's, its project's and the organization's."""
    now_ms = await database.now_ms()
    scopes: dict[str, list[tuple[LimitScope, str]]] = {
        key.id: [("key", key.id), ("user", key.user_id), ("project", key.project_id), ("organization", "")]
        for key in keys
    }
    async with database.read() as connection:
        wanted = {pair for pairs in scopes.values() for pair in pairs}
        limits = await store.limits_of_scopes(connection, sorted(wanted)) if wanted else []
        states = await counter_states(connection, limits, now_ms, zone)
    return {
        id: [state for state in states if (state.limit.scope, state.limit.scope_id) in pairs]
        for id, pairs in scopes.items()
    }


async def counter_states(
    connection: AsyncConnection, limits: Sequence[Limit], now_ms: int, zone: ZoneInfo
) -> list[LimitState]:
    """Read the use of each limit in its current interval from the counters; None for a rate and a default."""
    starts_ms = {interval: bounds_ms(interval, now_ms, zone)[0] for interval in COUNTED}
    used = await store.used(connection, starts_ms, [limit.id for limit in limits])
    return [_state(limit, used.get(limit.id, LimitUsage()), now_ms, zone) for limit in limits]


def _state(limit: Limit, used: LimitUsage, now_ms: int, zone: ZoneInfo) -> LimitState:
    if limit.is_rate or limit.scope == "everyone":
        return LimitState(limit, None, None, None, None)
    _, ends_ms = bounds_ms(limit.interval, now_ms, zone)
    return LimitState(limit, used.spent, used.held, limit.amount - used.spent - used.held, ends_ms)


def check_change(change: LimitChange) -> None:
    """Check interval and amount of a limit. Raises InvalidValue."""
    if change.interval not in _ALLOWED[change.unit]:
        allowed = ", ".join(_ALLOWED[change.unit])
        raise InvalidValue(f"A limit of {change.unit} is per {allowed}; not per {change.interval}.", param="interval")
    if change.amount is None:
        return
    most = AMOUNT_MICROS_MAX if change.unit == "micros" else AMOUNT_MAX
    if not 0 <= change.amount <= most:
        text = decimal_text(most) if change.unit == "micros" else str(most)
        raise InvalidValue(f"The limit of {change.unit} goes from 0 to {text}; `none` removes it.", param=change.unit)
    if change.unit == "micros" and change.amount % HUNDREDTH_MICROS:
        raise InvalidValue("A spend limit has at most two decimal places, like 12.50.", param="micros")


async def scope_id_of(connection: AsyncConnection, where: ScopeRef) -> str:
    """Return the id of a scope, empty for the organization. Raises NotFound."""
    match where.scope:
        case "organization":
            return ""
        case "everyone":
            return (await get_project(connection, where.reference)).id if where.reference else ""
        case "project":
            return (await get_project(connection, where.reference)).id
        case "user":
            return (await get_user(connection, where.reference)).id
        case "key":
            return (await get_key(connection, where.reference)).id


async def check_model(connection: AsyncConnection, model: str | None) -> None:
    """Check that a model is in the catalog; None stands for any model. Raises InvalidValue."""
    if model is None:
        return
    catalog = (await prices.read_catalog(connection)).models
    if model not in catalog:
        raise InvalidValue(
            f"The model {quoted(model)} is not in the catalog ({', '.join(catalog)}). `imagegate prices set` puts it there.",
            param="model",
        )
