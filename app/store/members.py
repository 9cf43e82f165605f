"""Members of projects in the database."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import insert
from app.store.limits import apply_defaults
from app.store.pages import Cursor, Page, read_page
from app.store.tables import project_users, projects, users


@dataclass(frozen=True, slots=True)
class Member:
    """Person in a project. `role` is owner, member or any other text: no role grants more than another."""

    id: str
    name: str
    email: str | None
    role: str
    added_at_ms: int


async def add(connection: AsyncConnection, project_id: str, user_id: str, role: str, at_ms: int) -> bool:
    """Add a user to a project, whose default limits hold for them; False when they were in it, with role and date unchanged."""
    row = {"project_id": project_id, "user_id": user_id, "role": role, "added_at_ms": at_ms}
    result = await connection.execute(insert(connection, project_users).values(row).on_conflict_do_nothing())
    if result.rowcount > 0:
        await apply_defaults(connection, user_id=user_id)
    return result.rowcount > 0


async def set_role(connection: AsyncConnection, project_id: str, user_id: str, role: str) -> None:
    await connection.execute(sa.update(project_users).where(_membership(project_id, user_id)).values(role=role))


async def remove(connection: AsyncConnection, project_id: str, user_id: str) -> None:
    await connection.execute(sa.delete(project_users).where(_membership(project_id, user_id)))
    await apply_defaults(connection, user_id=user_id)


async def find(connection: AsyncConnection, project_id: str, user_id: str) -> Member | None:
    row = (await connection.execute(_SELECT.where(_membership(project_id, user_id)))).mappings().one_or_none()
    return None if row is None else Member(**row)


async def page(connection: AsyncConnection, project_id: str, cursor: Cursor) -> Page[Member]:
    """Read a page of members by the date they were added."""
    select = _SELECT.where(project_users.c.project_id == project_id)
    own = project_users.c.project_id == project_id
    order = (project_users.c.added_at_ms, project_users.c.user_id)
    return await read_page(connection, select, cursor, lambda row: Member(**row), order, among=own)


async def projects_of(connection: AsyncConnection, user_id: str) -> list[tuple[str, str, str]]:
    """List a user's projects by name: id, name and the user's role."""
    joined = sa.select(projects.c.id, projects.c.name, project_users.c.role).join_from(project_users, projects)
    rows = await connection.execute(joined.where(project_users.c.user_id == user_id).order_by(projects.c.name))
    return [(row[0], row[1], row[2]) for row in rows]


def _membership(project_id: str, user_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(project_users.c.project_id == project_id, project_users.c.user_id == user_id)


_SELECT: sa.Select[Any] = (
    sa.select(*users.c["id", "name", "email"], *project_users.c["role", "added_at_ms"])
    .join_from(project_users, users)
    .where(users.c.kind == "person", users.c.deleted_at_ms.is_(None))
)
