"""The installation itself, its projects and its users."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import organization, projects, users


@dataclass(frozen=True, slots=True)
class Installation:
    """`pepper_fingerprint` and `currency` are None until the first start has claimed the database."""

    revision: int
    pepper_fingerprint: str | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    name: str
    created_at_ms: int
    archived_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    id: str
    name: str
    email: str | None
    created_at_ms: int
    disabled_at_ms: int | None = None


async def installation(connection: AsyncConnection) -> Installation:
    table = organization.c
    row = (await connection.execute(sa.select(table.revision, table.pepper_fingerprint, table.currency))).one()
    return Installation(*row)


async def claim(connection: AsyncConnection, pepper_fingerprint: str, currency: str) -> None:
    """Keep what the first start brings; what is there already stays."""
    await connection.execute(
        sa.update(organization).values(
            pepper_fingerprint=sa.func.coalesce(organization.c.pepper_fingerprint, pepper_fingerprint),
            currency=sa.func.coalesce(organization.c.currency, currency),
        )
    )


async def insert_project(connection: AsyncConnection, project: Project) -> None:
    """Raises IntegrityError when the name is taken."""
    await connection.execute(sa.insert(projects).values(_values(project)))


async def find_project(connection: AsyncConnection, reference: str) -> Project | None:
    """By id or by name; no name looks like an id."""
    row = await _find(connection, projects, reference)
    return Project(**row) if row else None


async def list_projects(connection: AsyncConnection) -> list[Project]:
    rows = await connection.execute(sa.select(projects).order_by(projects.c.name))
    return [Project(**row) for row in rows.mappings()]


async def insert_user(connection: AsyncConnection, user: User) -> None:
    """Raises IntegrityError when the name is taken."""
    await connection.execute(sa.insert(users).values(_values(user)))


async def find_user(connection: AsyncConnection, reference: str) -> User | None:
    """By id or by name; no name looks like an id."""
    row = await _find(connection, users, reference)
    return User(**row) if row else None


async def list_users(connection: AsyncConnection) -> list[User]:
    rows = await connection.execute(sa.select(users).order_by(users.c.name))
    return [User(**row) for row in rows.mappings()]


async def any_user(connection: AsyncConnection) -> bool:
    return (await connection.execute(sa.select(users.c.id).limit(1))).first() is not None


async def set_disabled(connection: AsyncConnection, user_id: str, at_ms: int | None) -> None:
    await connection.execute(sa.update(users).where(users.c.id == user_id).values(disabled_at_ms=at_ms))


async def _find(connection: AsyncConnection, table: sa.Table, reference: str) -> dict[str, Any] | None:
    wanted = sa.or_(table.c.id == reference, table.c.name == reference)
    row = (await connection.execute(sa.select(table).where(wanted))).mappings().one_or_none()
    return dict(row) if row else None


def _values(thing: Project | User) -> dict[str, Any]:
    return {field: getattr(thing, field) for field in thing.__slots__}
