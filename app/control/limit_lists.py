"""Lists of limits by whose they are: of everything, or a page of projects, users or keys."""

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from app.control.limits import LimitState, counter_states
from app.core.limits import Limit
from app.store import limits as stored_limits
from app.store.engine import Database
from app.store.pages import Cursor, Page
from app.store.people_lists import owners_of_limits

OwnedScope = Literal["project", "user", "key"]


@dataclass(frozen=True, slots=True)
class LimitOwner:
    """Project, user or key with its limits. `id` and `name` are empty for the organization and everyone of it."""

    id: str
    name: str
    limits: tuple[LimitState, ...]


async def limits_of_all(database: Database, zone: ZoneInfo) -> list[LimitState]:
    """List the limits of the organization and all defaults."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        return await counter_states(connection, await stored_limits.limits_of_all(connection), now_ms, zone)


async def page_of_limit_owners(
    database: Database, zone: ZoneInfo, scope: OwnedScope, cursor: Cursor, words: str = ""
) -> Page[LimitOwner]:
    """List the projects, users or keys that have a limit, by name, with their limits. Raises InvalidValue for the cursor."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        page = await owners_of_limits(connection, scope, cursor, words)
        limits: list[Limit] = []
        if page.records:
            limits = await stored_limits.limits_of_scopes(connection, [(scope, id) for id, _ in page.records])
        states = await counter_states(connection, limits, now_ms, zone)
    owners = (
        LimitOwner(id, name, tuple(state for state in states if state.limit.scope_id == id))
        for id, name in page.records
    )
    return Page(tuple(owners), page.has_more)
