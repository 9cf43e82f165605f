"""Lists of people and projects for owners and readers, read from small tables, and not from requests that have ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.ledger.columns import IN_PROGRESS
from app.store.organization import Project, User
from app.store.pages import Cursor, Page, read_page
from app.store.tables import (
    api_keys,
    identities,
    is_unresolved,
    limits,
    passwords,
    project_users,
    projects,
    requests,
    sessions,
    usage_local_days,
    usage_series,
    users,
)

PeopleStatus = Literal["active", "never", "disabled"]


@dataclass(frozen=True, slots=True)
class PeopleFilter:
    """Filter of a list of people; empty and None leave one out. `words` stand in a name or address; `never` are those who could
    sign in and never did."""

    words: str = ""
    status: PeopleStatus | None = None


async def people_by_name(connection: AsyncConnection, cursor: Cursor, wanted: PeopleFilter) -> Page[User]:
    """Read a page of people by name."""
    select = sa.select(users).where(users.c.kind == "person", users.c.deleted_at_ms.is_(None))
    if wanted.words:
        names = (column.icontains(wanted.words, autoescape=True) for column in (users.c.name, users.c.email))
        select = select.where(sa.or_(users.c.id == wanted.words, *names))
    match wanted.status:
        case "active":
            select = select.where(users.c.disabled_at_ms.is_(None))
        case "disabled":
            select = select.where(users.c.disabled_at_ms.is_not(None))
        case "never":
            select = select.where(users.c.disabled_at_ms.is_(None), sa.not_(_can_sign_in()))
    return await read_page(connection, select, cursor, lambda row: User(**row), (users.c.name, users.c.id))


async def projects_by_name(connection: AsyncConnection, cursor: Cursor, words: str) -> Page[Project]:
    """Read a page of projects in use by name."""
    select = sa.select(projects).where(projects.c.archived_at_ms.is_(None))
    if words:
        select = select.where(sa.or_(projects.c.id == words, projects.c.name.icontains(words, autoescape=True)))
    return await read_page(connection, select, cursor, lambda row: Project(**row), (projects.c.name, projects.c.id))


async def projects_of_users(connection: AsyncConnection, user_ids: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """List id and name of each user's projects in use, by name."""
    select = (
        sa.select(project_users.c.user_id, projects.c.id, projects.c.name)
        .join_from(project_users, projects)
        .where(project_users.c.user_id.in_(user_ids), projects.c.archived_at_ms.is_(None))
        .order_by(projects.c.name)
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for user_id, id, name in await connection.execute(select):
        found.setdefault(user_id, []).append((id, name))
    return found


async def count_members(connection: AsyncConnection, project_ids: Sequence[str]) -> dict[str, int]:
    """Count the people in each project."""
    joined = sa.select(project_users.c.project_id, sa.func.count()).join_from(project_users, users)
    people = (users.c.kind == "person", users.c.deleted_at_ms.is_(None), project_users.c.project_id.in_(project_ids))
    rows = await connection.execute(joined.where(*people).group_by(project_users.c.project_id))
    return {row[0]: row[1] for row in rows}


async def spent_micros(connection: AsyncConnection, user_ids: Sequence[str], days: Sequence[str]) -> dict[str, int]:
    """Sum what each user spent on these local days, which are listed so that the roll-up is read by its key."""
    cost_micros = sa.cast(sa.func.sum(usage_local_days.c.cost_micros), sa.BigInteger)
    joined = sa.select(usage_series.c.user_id, cost_micros).join_from(
        usage_series, usage_local_days, usage_local_days.c.series_id == usage_series.c.id
    )
    own = joined.where(usage_series.c.user_id.in_(user_ids), usage_local_days.c.day.in_(days))
    return {row[0]: row[1] for row in await connection.execute(own.group_by(usage_series.c.user_id))}


async def last_seen_ms(connection: AsyncConnection, user_ids: Sequence[str]) -> dict[str, int]:
    """Return when each user used a session last (Unix ms). Sessions are kept for four weeks."""
    select = sa.select(sessions.c.user_id, sa.func.max(sessions.c.seen_at_ms)).where(sessions.c.user_id.in_(user_ids))
    return {row[0]: row[1] for row in await connection.execute(select.group_by(sessions.c.user_id))}


async def users_who_signed_in(connection: AsyncConnection, user_ids: Sequence[str]) -> set[str]:
    """Return those of these users who have a password or an identity at a provider."""
    select = sa.select(users.c.id).where(users.c.id.in_(user_ids), _can_sign_in())
    return set((await connection.execute(select)).scalars())


async def count_running(connection: AsyncConnection, user_id: str) -> int:
    """Count the requests of a user that are under way, in the index of those."""
    own = (is_unresolved, requests.c.user_id == user_id, requests.c.state.in_(IN_PROGRESS))
    return int((await connection.execute(sa.select(sa.func.count()).select_from(requests).where(*own))).scalar_one())


async def count_sessions(connection: AsyncConnection, user_id: str) -> int:
    """Count the sessions of a user that were not revoked."""
    own = (sessions.c.user_id == user_id, sessions.c.revoked_at_ms.is_(None))
    return int((await connection.execute(sa.select(sa.func.count()).select_from(sessions).where(*own))).scalar_one())


async def owners_of_limits(
    connection: AsyncConnection, scope: Literal["project", "user", "key"], cursor: Cursor, words: str
) -> Page[tuple[str, str]]:
    """Read a page of id and name of the projects, users or keys that have a limit, by name."""
    table = {"project": projects, "user": users, "key": api_keys}[scope]
    has_one = sa.exists().where(limits.c.scope == scope, limits.c.scope_id == table.c.id, limits.c.amount.is_not(None))
    gone = {"project": "archived_at_ms", "user": "deleted_at_ms", "key": "revoked_at_ms"}[scope]
    select = sa.select(table.c.id, table.c.name).where(has_one, table.c[gone].is_(None))
    if words:
        select = select.where(sa.or_(table.c.id == words, table.c.name.icontains(words, autoescape=True)))
    return await read_page(connection, select, cursor, _pair, (table.c.name, table.c.id))


def _can_sign_in() -> sa.ColumnElement[bool]:
    return sa.or_(*(sa.exists().where(proof.c.user_id == users.c.id) for proof in (passwords, identities)))


def _pair(row: sa.RowMapping) -> tuple[str, str]:
    values: Any = tuple(row.values())
    return values[0], values[1]
