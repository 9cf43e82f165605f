"""Increases of limits: members ask for more, owners decide, and raises for some time end by themselves."""

from dataclasses import dataclass, replace
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.limit_raises import check_added, increase_change, limit_to_raise, raise_limit
from app.control.limits import LimitState, counter_states
from app.control.names import quoted
from app.core.ids import new_id
from app.core.intervals import bounds_ms
from app.core.limits import Limit, LimitScope
from app.errors import Conflict, InvalidValue, NotFound
from app.store import limit_increases as store
from app.store import limits as stored_limits
from app.store import members
from app.store.audit_logs import log_changes
from app.store.engine import Database
from app.store.limit_increases import IncreaseStatus, LimitIncrease
from app.store.pages import Cursor, Page

WORDS_MAX = 500
"""Longest reason and longest answer, in characters."""
NOT_YOURS = "There is no such limit for you. Choose one out of the list."
ASKED_ALREADY = "You asked for more of this limit already, and no owner has decided yet."
DECIDED_ALREADY = "Somebody has decided on this request already."
Duration = Literal["interval", "for_good"]
"""Time for which a limit is raised: until its current interval ends, or for good. A limit for a lifetime is raised for good."""


@dataclass(frozen=True, slots=True)
class IncreaseState:
    """Increase with its limit and the use of it now; `limit` is None where it was removed since."""

    increase: LimitIncrease
    limit: LimitState | None


async def ask_for_more(database: Database, user_id: str, limit_id: int, amount: int, reason: str) -> LimitIncrease:
    """Ask owners to put an amount on top of a limit, in its unit (money in micros).

    Raises InvalidValue; NotFound for a limit that does not hold for this person; Conflict while an earlier request is open.
    """
    now_ms = await database.now_ms()
    async with database.transaction() as connection:
        limit = next((limit for limit in await _limits_of(connection, user_id) if limit.id == limit_id), None)
        if limit is None:
            raise NotFound(NOT_YOURS, param="limit")
        check_added(limit, amount)
        asked = LimitIncrease(
            new_id("incr_"), limit.id, user_id, None, amount, _checked_words(reason, "reason"), "open", now_ms
        )
        try:
            await store.insert_increase(connection, asked)
        except IntegrityError:
            raise Conflict(ASKED_ALREADY, param="limit") from None
        await log_changes(connection, increase_change("requested", asked, limit, None))
    return asked


async def limits_to_raise(database: Database, zone: ZoneInfo, user_id: str) -> list[LimitState]:
    """List the limits that hold for a person in all they buy: their own, those of their projects, and the organization's. Rates and
    limits of concurrent requests are left out: waiting helps there."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        return await counter_states(connection, await _limits_of(connection, user_id), now_ms, zone)


async def page_of_increases(
    database: Database, zone: ZoneInfo, cursor: Cursor, status: IncreaseStatus | None = None, user_id: str | None = None
) -> Page[IncreaseState]:
    """List requests for more by creation, with their limits. Raises InvalidValue for the cursor."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        page = await store.page_of_increases(connection, cursor, status, user_id)
        limits = await stored_limits.limits_by_id(connection, {each.limit_id for each in page.records})
        states = {state.limit.id: state for state in await counter_states(connection, limits, now_ms, zone)}
    return Page(tuple(IncreaseState(each, states.get(each.limit_id)) for each in page.records), page.has_more)


async def show_increase(database: Database, zone: ZoneInfo, increase_id: str) -> IncreaseState:
    """Return a request for more with its limit. Raises NotFound."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        increase = await _get(connection, increase_id)
        limits = await stored_limits.limits_by_id(connection, [increase.limit_id])
        states = await counter_states(connection, limits, now_ms, zone)
    return IncreaseState(increase, states[0] if states else None)


async def approve_increase(
    database: Database,
    zone: ZoneInfo,
    increase_id: str,
    duration: Duration,
    amount: int | None = None,
    answer: str = "",
) -> LimitIncrease:
    """Approve a request for more and raise its limit, in one write; `amount` is another one than was asked for.

    Raises NotFound, InvalidValue, and Conflict for a request that is decided and for a limit that was removed.
    """
    now_ms = await database.now_ms()
    async with database.write() as connection:
        before = await _get(connection, increase_id)
        limit = await limit_to_raise(connection, before.limit_id)
        granted = before.asked if amount is None else amount
        check_added(limit, granted)
        until_ms = bounds_ms(limit.interval, now_ms, zone)[1] if duration == "interval" else None
        decided = replace(
            before,
            state="approved",
            granted=granted,
            answer=_checked_words(answer, "answer"),
            decided_by=database.actor.name,
            decided_at_ms=now_ms,
            until_ms=until_ms,
            from_default=int(until_ms is not None and limit.default_of is not None),
        )
        await _decide(connection, decided)
        await raise_limit(connection, limit, granted)
        await log_changes(connection, increase_change("approved", decided, limit, before))
    return decided


async def decline_increase(database: Database, increase_id: str, answer: str = "") -> LimitIncrease:
    """Decline a request for more. Raises NotFound, InvalidValue, and Conflict for a request that is decided."""
    now_ms = await database.now_ms()
    async with database.transaction() as connection:
        before = await _get(connection, increase_id)
        words = _checked_words(answer, "answer")
        decided = replace(before, state="declined", answer=words, decided_by=database.actor.name, decided_at_ms=now_ms)
        await _decide(connection, decided)
        await log_changes(connection, increase_change("declined", decided, None, before))
    return decided


async def _limits_of(connection: AsyncConnection, user_id: str) -> list[Limit]:
    mine: list[tuple[LimitScope, str]] = [("user", user_id), ("organization", "")]
    mine += [("project", id) for id, _, _ in await members.projects_of(connection, user_id)]
    found = await stored_limits.limits_of_scopes(connection, mine)
    return [limit for limit in found if not limit.is_rate and limit.unit != "in_flight"]


async def _get(connection: AsyncConnection, increase_id: str) -> LimitIncrease:
    found = await store.find_increase(connection, increase_id)
    if found is None or found.user_id is None:
        raise NotFound(f"There is no request {quoted(increase_id)} for more of a limit.", param="increase_id")
    return found


async def _decide(connection: AsyncConnection, decided: LimitIncrease) -> None:
    names = ("granted", "answer", "decided_by", "decided_at_ms", "until_ms", "from_default")
    values = {name: getattr(decided, name) for name in names}
    if not await store.decide(connection, decided.id, decided.state, **values):
        raise Conflict(DECIDED_ALREADY, param="increase_id")


def _checked_words(text: str, field: str) -> str:
    if len(text) > WORDS_MAX:
        raise InvalidValue(f"The {field} has at most {WORDS_MAX} characters.", param=field)
    return text.strip()
