"""Service accounts: users that are no persons and hold keys in one project. Limits and reports count them as users."""

from dataclasses import dataclass, replace
from typing import get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.deletion import delete_owner
from app.control.keys import CreatedKey, KeyFacts, add_key, expiry_in_ms
from app.control.names import checked_name, normalized, quoted
from app.control.people import add_user, change_user, get_user
from app.control.projects import get_active_project, get_project
from app.core.ids import new_id
from app.errors import InvalidValue, NotFound
from app.store import members
from app.store import service_accounts as store
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.organization import Project, User
from app.store.pages import Cursor, Page
from app.store.service_accounts import AccountRole, ServiceAccount

ROLES: tuple[AccountRole, ...] = get_args(AccountRole)


@dataclass(frozen=True, slots=True)
class NewServiceAccount:
    """Service account to create, with a key that expires in `expires_in_s`. `only` makes it without key and role: keys made
    later work once it has a role."""

    name: str
    only: bool = False
    expires_in_s: int | None = None


@dataclass(frozen=True, slots=True)
class NewServiceAccountKey:
    """Key to create for a service account. A `read_only` key can use no model."""

    name: str | None = None
    expires_in_s: int | None = None
    read_only: bool = False


async def create_service_account(
    database: Database, pepper: bytes, project_id: str, wanted: NewServiceAccount
) -> tuple[ServiceAccount, CreatedKey | None]:
    """Create a service account with its first key. Raises InvalidValue; NotFound; Conflict: the name is taken in the project,
    or it is archived."""
    name, now_ms = checked_name(wanted.name), await database.now_ms()
    expires_at_ms = None if wanted.expires_in_s is None else expiry_in_ms(wanted.expires_in_s, now_ms)
    async with database.write() as connection:
        project = await get_active_project(connection, project_id)
        user = User(new_id("user-"), name, None, now_ms, kind="service_account", project_id=project.id)
        await add_user(connection, user)
        key = None
        if not wanted.only:
            await members.add(connection, project.id, user.id, "member", now_ms)
            key = await add_key(connection, pepper, user, project, KeyFacts(name, None, now_ms, expires_at_ms))
        return await get_service_account(connection, project, user.id), key


async def create_key_of(
    database: Database, pepper: bytes, project_id: str, account_id: str, wanted: NewServiceAccountKey
) -> CreatedKey:
    """Create another key of a service account. Raises InvalidValue, NotFound, Conflict."""
    now_ms = await database.now_ms()
    named = None if wanted.name is None else checked_name(wanted.name)
    expires_at_ms = None if wanted.expires_in_s is None else expiry_in_ms(wanted.expires_in_s, now_ms)
    async with database.write() as connection:
        project = await get_active_project(connection, project_id)
        account = await get_service_account(connection, project, account_id)
        user = await get_user(connection, account.id)
        models = () if wanted.read_only else None
        facts = KeyFacts(named or account.name, models, now_ms, expires_at_ms)
        return await add_key(connection, pepper, user, project, facts)


async def page_of_service_accounts(database: Database, project: str | None, cursor: Cursor) -> Page[ServiceAccount]:
    """List service accounts of one project or of all, by creation. Raises NotFound, and InvalidValue for the cursor."""
    async with database.read() as connection:
        project_id = None if project is None else (await get_project(connection, project)).id
        return await store.page(connection, project_id, cursor)


async def show_service_account(database: Database, project_id: str, account_id: str) -> ServiceAccount:
    """Return a service account. Raises NotFound."""
    async with database.read() as connection:
        return await get_service_account(connection, await get_project(connection, project_id), account_id)


async def change_service_account(
    database: Database, project_id: str, account_id: str, name: str | None, role: str | None
) -> ServiceAccount:
    """Change a service account; None keeps a field. Raises InvalidValue; NotFound; Conflict: the name is taken, or the
    project archived."""
    checked = None if name is None else checked_name(name)
    now_ms, in_project = await database.now_ms(), None if role is None else _role(role)
    async with database.write() as connection:
        project = await get_active_project(connection, project_id)
        account = await get_service_account(connection, project, account_id)
        if checked is not None:
            await change_user(connection, await get_user(connection, account.id), name=checked)
        if in_project is not None:
            await members.add(connection, project.id, account.id, in_project, now_ms)
            await members.set_role(connection, project.id, account.id, in_project)
            roles = {"role": account.role}, {"role": in_project}
            await log_changes(connection, Change("service_account.updated", account.id, *roles, project.id))
        return await get_service_account(connection, project, account_id)


async def delete_service_account(database: Database, project_id: str, account_id: str) -> ServiceAccount:
    """Delete a service account for good, with its keys. Its requests stay in the book under its name. Raises NotFound."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        project = await get_project(connection, project_id)
        account = await get_service_account(connection, project, account_id)
        await delete_owner(connection, await get_user(connection, account.id), now_ms)
    return replace(account, role=None)


async def get_service_account(connection: AsyncConnection, project: Project, account_id: str) -> ServiceAccount:
    """Return a service account of a project. Raises NotFound."""
    account = await store.find(connection, project.id, normalized(account_id))
    if account is None:
        message = f"There is no service account {quoted(account_id)} in the project {quoted(project.name)}."
        raise NotFound(message, param="service_account_id")
    return account


def _role(text: str) -> AccountRole:
    for role in ROLES:
        if role == text:
            return role
    raise InvalidValue(f"The role of a service account is owner or member; not {quoted(text)}.", param="role")
