"""Service accounts: rows of `users` that belong to one project."""

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.pages import Cursor, Page, read_page
from app.store.tables import project_users, users

AccountRole = Literal["owner", "member"]
"""Roles that OpenAI has for service accounts."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Service account. `role` is its role in its project; with None its keys do not work."""

    id: str
    name: str
    project_id: str
    role: AccountRole | None
    created_at_ms: int
    disabled_at_ms: int | None


async def find(connection: AsyncConnection, project_id: str, name_or_id: str) -> ServiceAccount | None:
    select = _SELECT.where(
        users.c.project_id == project_id, sa.or_(users.c.id == name_or_id, users.c.name == name_or_id)
    )
    row = (await connection.execute(select)).mappings().one_or_none()
    return None if row is None else ServiceAccount(**row)


async def page(connection: AsyncConnection, project_id: str | None, cursor: Cursor) -> Page[ServiceAccount]:
    """Read a page of service accounts of one project, or of all, by creation."""
    return await read_page(connection, _of(project_id), cursor, lambda row: ServiceAccount(**row), _BY_CREATION)


def _of(project_id: str | None) -> sa.Select[Any]:
    return _SELECT if project_id is None else _SELECT.where(users.c.project_id == project_id)


_BY_CREATION = (users.c.created_at_ms, users.c.id)
_SELECT: sa.Select[Any] = (
    sa.select(*users.c["id", "name", "project_id", "created_at_ms", "disabled_at_ms"], project_users.c.role)
    .select_from(
        users.outerjoin(
            project_users,
            sa.and_(project_users.c.user_id == users.c.id, project_users.c.project_id == users.c.project_id),
        )
    )
    .where(users.c.kind == "service_account", users.c.deleted_at_ms.is_(None))
)
