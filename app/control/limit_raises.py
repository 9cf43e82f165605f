"""Raises of limits: the change of an amount, also until a day, after which the limit goes back by itself."""

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.limits import AMOUNT_MAX, LimitChange, check_change, limit_change_of
from app.core.ids import new_id
from app.core.limits import Limit
from app.core.money import AMOUNT_MICROS_MAX
from app.errors import Conflict, InvalidValue
from app.store import limit_increases as store
from app.store import limits as stored_limits
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.limit_increases import LimitIncrease
from app.store.limits import LimitKey

REMOVED = "The limit was removed since, so that there is nothing to raise."
NOTHING = "Ask for more than 0."
TOO_MUCH = "With this amount the limit would exceed the largest there can be."
IN_THE_PAST = "The day until which the limit is raised must lie ahead."
NOT_ABOVE = "A limit that ends at a day is above the one before it. To lower the limit, leave out the day."
FOR_GOOD_ONLY = "A default is raised for good only; leave out the day."


async def raise_until(database: Database, limit_id: int, amount: int, until_ms: int) -> LimitIncrease:
    """Raise a limit to an amount until an instant (Unix ms), when it goes back by as much.

    Raises Conflict for a limit that was removed, and InvalidValue for an amount that is not above the limit and for an instant
    that is over.
    """
    now_ms = await database.now_ms()
    if until_ms <= now_ms:
        raise InvalidValue(IN_THE_PAST, param="until")
    async with database.write() as connection:
        limit = await limit_to_raise(connection, limit_id)
        if limit.scope == "everyone":
            raise InvalidValue(FOR_GOOD_ONLY, param="until")
        added = amount - limit.amount
        if added <= 0:
            raise InvalidValue(NOT_ABOVE, param="until")
        check_added(limit, added)
        raised = LimitIncrease(
            id=new_id("incr_"),
            limit_id=limit.id,
            user_id=None,
            user=None,
            asked=added,
            reason="",
            state="approved",
            created_at_ms=now_ms,
            granted=added,
            decided_by=database.actor.name,
            decided_at_ms=now_ms,
            until_ms=until_ms,
            from_default=int(limit.default_of is not None),
        )
        await store.insert_increase(connection, raised)
        await raise_limit(connection, limit, added)
        await log_changes(connection, increase_change("approved", raised, limit, None))
    return raised


async def end_raises(database: Database) -> int:
    """Take back the raises whose time is over; returns how many. Each goes back once, whichever replica is first."""
    due = await database.ask(store.due_increases)
    for increase in due:
        async with database.write() as connection:
            if await store.end_increase(connection, increase.id):
                await _take_back(connection, increase)
    return len(due)


async def limit_to_raise(connection: AsyncConnection, limit_id: int) -> Limit:
    """Return a limit that is in force. Raises Conflict for one that was removed."""
    found = await stored_limits.limits_by_id(connection, [limit_id])
    if not found:
        raise Conflict(REMOVED, param="limit")
    return found[0]


async def raise_limit(connection: AsyncConnection, limit: Limit, by: int) -> None:
    """Put an amount on top of a limit in the caller's transaction, and log it. Raises InvalidValue."""
    most = AMOUNT_MICROS_MAX if limit.unit == "micros" else AMOUNT_MAX
    if not await stored_limits.raise_amount(connection, limit.id, by, most):
        raise InvalidValue(TOO_MUCH, param="amount")
    await _log_amount(connection, limit, limit.amount + by)


def check_added(limit: Limit, amount: int) -> None:
    """Check an amount that is put on top of a limit. Raises InvalidValue."""
    if amount <= 0:
        raise InvalidValue(NOTHING, param="amount")
    check_change(LimitChange(limit.unit, limit.interval, amount))


def increase_change(verb: str, increase: LimitIncrease, limit: Limit | None, before: LimitIncrease | None) -> Change:
    """Make the audit log entry of an increase: `verb` is requested, approved or declined."""
    project_id = limit.scope_id if limit is not None and limit.scope == "project" else None
    return Change(
        f"limit_increase.{verb}",
        increase.id,
        None if before is None else _facts(before),
        _facts(increase),
        project_id,
    )


def _facts(increase: LimitIncrease) -> Facts:
    names = ("limit_id", "user_id", "asked", "state", "granted", "until_ms")
    return {name: getattr(increase, name) for name in names}


async def _take_back(connection: AsyncConnection, increase: LimitIncrease) -> None:
    """Lower a limit by what was granted, or let the default hold again that it came from, unless other increases of it stay."""
    found = await stored_limits.limits_by_id(connection, [increase.limit_id])
    if not found or found[0].default_of is not None or increase.granted is None:
        return  # Somebody removed the limit in between.
    [limit] = found
    others = await store.temporary_increases(connection, limit.id)
    stays = await store.was_granted_for_good(connection, limit.id, increase.decided_at_ms or 0)
    if increase.from_default and not others and not stays:
        key = LimitKey(limit.scope, limit.scope_id, limit.model, limit.unit, limit.interval)
        await stored_limits.remove(connection, key)
        await stored_limits.apply_defaults(connection, user_id=limit.scope_id, like=key)
        await log_changes(connection, limit_change_of(key, limit.amount, None))
        return
    if increase.from_default and not stays:
        await store.inherit_default(connection, limit.id)
    await stored_limits.lower_amount(connection, limit.id, increase.granted)
    await _log_amount(connection, limit, max(limit.amount - increase.granted, 0))


async def _log_amount(connection: AsyncConnection, limit: Limit, amount: int) -> None:
    key = LimitKey(limit.scope, limit.scope_id, limit.model, limit.unit, limit.interval)
    await log_changes(connection, limit_change_of(key, limit.amount, amount))
