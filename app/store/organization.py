"""Organization with its projects and users, and the settings its book is bound to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.actors import AccessRole
from app.store.limits import apply_defaults
from app.store.pages import Cursor, Page, read_page
from app.store.tables import identities, organization, passwords, projects, requests, users

UserKind = Literal["person", "service_account"]


@dataclass(frozen=True, slots=True)
class BookBinding:
    """Settings that the first start bound the book to; each is None before. `revision` counts writes of control data."""

    revision: int
    pepper_fingerprint: str | None
    currency: str | None
    timezone: str | None
    digest_key: bytes | None
    """Encrypted key of the digests of prompts."""


@dataclass(frozen=True, slots=True)
class Project:
    """Project: a team or cost centre. Instants are milliseconds."""

    id: str
    name: str
    created_at_ms: int
    archived_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """Person, or service account of one project. Deleted ones stay, because the book refers to their names.

    `role` is OpenAI's: owner, reader or any other text, which grants nothing. `access_role` is what a session of theirs may do.
    `email` is in lower case, and nobody else's.
    """

    id: str
    name: str
    email: str | None
    created_at_ms: int
    disabled_at_ms: int | None = None
    kind: UserKind = "person"
    project_id: str | None = None
    role: str = "reader"
    deleted_at_ms: int | None = None
    erased_at_ms: int | None = None
    erasure_ended_at_ms: int | None = None
    access_role: AccessRole = "member"

    @property
    def is_service_account(self) -> bool:
        return self.kind == "service_account"


async def book_binding(connection: AsyncConnection) -> BookBinding:
    columns = (organization.c[name] for name in BookBinding.__slots__)
    return BookBinding(*(await connection.execute(sa.select(*columns))).one())


async def bind_book(connection: AsyncConnection, pepper_fingerprint: str, currency: str, timezone: str) -> None:
    """Record the settings of the first start. A value that is set already stays."""
    given = {"pepper_fingerprint": pepper_fingerprint, "currency": currency, "timezone": timezone}
    values = {name: sa.func.coalesce(organization.c[name], value) for name, value in given.items()}
    await connection.execute(sa.update(organization).values(values))


async def set_secret(connection: AsyncConnection, pepper_fingerprint: str, digest_key: bytes) -> None:
    """Bind the book to a secret, with the digest key in its stored form."""
    values = {"pepper_fingerprint": pepper_fingerprint, "digest_key": digest_key}
    await connection.execute(sa.update(organization).values(values))


async def any_request(connection: AsyncConnection) -> bool:
    """Return whether the book has a request."""
    return (await connection.execute(sa.select(requests.c.id).limit(1))).first() is not None


async def insert_project(connection: AsyncConnection, project: Project) -> None:
    """Insert a project. Raises IntegrityError when the name is taken."""
    await connection.execute(sa.insert(projects).values(_values(project)))


async def update_project(connection: AsyncConnection, project_id: str, **values: Any) -> None:
    """Update columns of a project. Raises IntegrityError when the name is taken."""
    await connection.execute(sa.update(projects).where(projects.c.id == project_id).values(values))


async def find_project(connection: AsyncConnection, reference: str) -> Project | None:
    """Find a project by id or by name; no name looks like an id."""
    matches = sa.or_(projects.c.id == reference, projects.c.name == reference)
    row = (await connection.execute(sa.select(projects).where(matches))).mappings().one_or_none()
    return Project(**row) if row else None


async def page_of_projects(
    connection: AsyncConnection, cursor: Cursor, include_archived: bool = False
) -> Page[Project]:
    """Read a page of projects by creation."""
    select = sa.select(projects)
    if not include_archived:
        select = select.where(projects.c.archived_at_ms.is_(None))
    order = (projects.c.created_at_ms, projects.c.id)
    return await read_page(connection, select, cursor, lambda row: Project(**row), order)


async def insert_user(connection: AsyncConnection, user: User) -> None:
    """Insert a user, for whom the default limits hold. Raises IntegrityError when the name is taken."""
    await connection.execute(sa.insert(users).values(_values(user)))
    await apply_defaults(connection, user_id=user.id)


async def update_user(connection: AsyncConnection, user_id: str, **values: Any) -> bool:
    """Update columns of a user. False, and nothing is changed, where the last owner who can sign in would stop being one.

    Raises IntegrityError when the name or address is taken.
    """
    update = sa.update(users).where(users.c.id == user_id)
    if values.get("access_role", "owner") != "owner" or values.get("disabled_at_ms") or values.get("deleted_at_ms"):
        update = update.where(
            sa.or_(sa.not_(_is_owner(users)), sa.exists().where(_OTHERS.c.id != user_id, _is_owner(_OTHERS)))
        )
    return (await connection.execute(update.values(values))).rowcount > 0


async def find_user(connection: AsyncConnection, reference: str) -> User | None:
    """Find a user by id, including service accounts and deleted users, or a person by name. No name looks like an id."""
    named = sa.and_(users.c.name == reference, users.c.kind == "person", users.c.deleted_at_ms.is_(None))
    select = sa.select(users).where(sa.or_(users.c.id == reference, named))
    row = (await connection.execute(select)).mappings().one_or_none()
    return User(**row) if row else None


async def find_user_by_email(connection: AsyncConnection, email: str) -> User | None:
    """Find a person by address, in any case of its letters."""
    row = (
        (await connection.execute(sa.select(users).where(_people(), users.c.email == email.lower()))).mappings().first()
    )
    return User(**row) if row else None


async def find_service_accounts(connection: AsyncConnection, name: str) -> list[User]:
    """List service accounts of this name, which is unique in their project only."""
    own = sa.and_(users.c.kind == "service_account", users.c.deleted_at_ms.is_(None), users.c.name == name)
    return [User(**row) for row in (await connection.execute(sa.select(users).where(own))).mappings()]


async def user_ids_like(connection: AsyncConnection, words: str, limit: int) -> list[str]:
    """List up to `limit` ids of people, service accounts and deleted users whose name or address contains a text, or whose id it
    is."""
    alike = (column.icontains(words, autoescape=True) for column in (users.c.name, users.c.email))
    select = sa.select(users.c.id).where(sa.or_(users.c.id == words, *alike)).order_by(users.c.id).limit(limit)
    return list((await connection.execute(select)).scalars())


async def list_users(connection: AsyncConnection) -> list[User]:
    """List people by name, without deleted ones."""
    rows = await connection.execute(sa.select(users).where(_people()).order_by(users.c.name))
    return [User(**row) for row in rows.mappings()]


async def page_of_users(connection: AsyncConnection, cursor: Cursor, emails: Sequence[str]) -> Page[User]:
    """Read a page of people by creation; with `emails` only people with those addresses."""
    select = sa.select(users).where(_people())
    if emails:
        select = select.where(users.c.email.in_([email.lower() for email in emails]))
    order = (users.c.created_at_ms, users.c.id)
    return await read_page(connection, select, cursor, lambda row: User(**row), order)


async def any_user(connection: AsyncConnection) -> bool:
    return (await connection.execute(sa.select(users.c.id).limit(1))).first() is not None


async def owner_emails(connection: AsyncConnection) -> list[str]:
    """List the addresses of the owners who are not disabled."""
    is_owner = (_people(), users.c.disabled_at_ms.is_(None), users.c.access_role == "owner", users.c.email.is_not(None))
    return list((await connection.execute(sa.select(users.c.email).where(*is_owner).order_by(users.c.email))).scalars())


_OTHERS = users.alias("others")


def _is_owner(table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Make the condition for an owner who can sign in."""
    active = sa.and_(table.c.deleted_at_ms.is_(None), table.c.disabled_at_ms.is_(None), table.c.access_role == "owner")
    proofs = (sa.exists().where(proof.c.user_id == table.c.id) for proof in (passwords, identities))
    return sa.and_(active, sa.or_(*proofs))


def _people() -> sa.ColumnElement[bool]:
    return sa.and_(users.c.kind == "person", users.c.deleted_at_ms.is_(None))


def _values(record: Project | User) -> dict[str, Any]:
    return {field: getattr(record, field) for field in record.__slots__}
