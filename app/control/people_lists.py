"""Lists of people and of projects with what they spent this month, what is left, their keys and when they were seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.limits import LimitState, counter_states
from app.core.intervals import bounds_ms, local_day
from app.core.limits import LimitScope
from app.store import limits as stored_limits
from app.store import people_lists as store
from app.store import usage
from app.store.engine import Database
from app.store.keys import count_active_keys
from app.store.organization import Project, User
from app.store.pages import Cursor, Page
from app.store.people_lists import PeopleFilter
from app.store.usage import UsageSpan

EVERYBODY = PeopleFilter()


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """Person in a list. `projects` are pairs of id and name, `spent_micros` is of this month, `limit` the spend limit per month.
    `seen_at_ms` is the last use of a session, None where it is longer ago than sessions are kept."""

    user: User
    projects: Sequence[tuple[str, str]]
    spent_micros: int
    limit: LimitState | None
    keys: int
    seen_at_ms: int | None
    has_signed_in: bool


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """Project in a list; its fields are as those of a person."""

    project: Project
    members: int
    spent_micros: int
    limit: LimitState | None
    keys: int


async def page_of_people(
    database: Database, zone: ZoneInfo, cursor: Cursor, wanted: PeopleFilter = EVERYBODY
) -> Page[PersonSummary]:
    """List people by name. Raises InvalidValue for the cursor."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        page = await store.people_by_name(connection, cursor, wanted)
        ids = [user.id for user in page.records]
        projects = await store.projects_of_users(connection, ids)
        spent = await store.spent_micros(connection, ids, _days_of_month(now_ms, zone))
        limits = await _spend_limits(connection, "user", ids, now_ms, zone)
        keys = await count_active_keys(connection, now_ms, "user_id", ids)
        seen_ms = await store.last_seen_ms(connection, ids)
        signed_in = await store.users_who_signed_in(connection, ids)
    return Page(
        tuple(
            PersonSummary(
                user,
                projects.get(user.id, []),
                spent.get(user.id, 0),
                limits.get(user.id),
                keys.get(user.id, 0),
                seen_ms.get(user.id),
                user.id in signed_in,
            )
            for user in page.records
        ),
        page.has_more,
    )


async def page_of_project_summaries(
    database: Database, zone: ZoneInfo, cursor: Cursor, words: str = ""
) -> Page[ProjectSummary]:
    """List projects in use by name. Raises InvalidValue for the cursor."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        page = await store.projects_by_name(connection, cursor, words)
        ids = [project.id for project in page.records]
        members = await store.count_members(connection, ids)
        span = UsageSpan(_days_of_month(now_ms, zone)[0])
        spent = {row.names[0][1]: row.sums.cost_micros for row in await usage.report(connection, ["project"], span)}
        limits = await _spend_limits(connection, "project", ids, now_ms, zone)
        keys = await count_active_keys(connection, now_ms, "project_id", ids)
    return Page(
        tuple(
            ProjectSummary(
                each, members.get(each.id, 0), spent.get(each.id, 0), limits.get(each.id), keys.get(each.id, 0)
            )
            for each in page.records
        ),
        page.has_more,
    )


def _days_of_month(now_ms: int, zone: ZoneInfo) -> list[str]:
    start_ms, end_ms = bounds_ms("month", now_ms, zone)
    first, last = (date.fromisoformat(local_day(at_ms, zone)) for at_ms in (start_ms, (end_ms or 0) - 1))
    return [(first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1)]


async def _spend_limits(
    connection: AsyncConnection, scope: LimitScope, ids: Sequence[str], now_ms: int, zone: ZoneInfo
) -> dict[str, LimitState]:
    if not ids:
        return {}
    found = await stored_limits.limits_of_scopes(connection, [(scope, id) for id in ids])
    spending = [limit for limit in found if (limit.model, limit.unit, limit.interval) == ("", "micros", "month")]
    return {state.limit.scope_id: state for state in await counter_states(connection, spending, now_ms, zone)}
