"""Users: people who may hold keys."""

from dataclasses import dataclass
from typing import get_args

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import checked_email, checked_name, normalized, quoted
from app.core.actors import AccessRole
from app.core.ids import new_id
from app.errors import Conflict, InvalidValue, NotFound
from app.store import members, sign_in
from app.store import organization as store
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.organization import User

ACCESS_ROLES: tuple[AccessRole, ...] = get_args(AccessRole)
LAST_OWNER = (
    "is the last owner who can sign in. Make somebody else an owner first: `imagegate users invite MAIL --role owner`"
)


@dataclass(frozen=True, slots=True)
class UserChange:
    """Change of a user; None keeps a field. Of a service account only `disabled` can be changed."""

    role: str | None = None
    name: str | None = None
    email: str | None = None
    disabled: bool | None = None
    access_role: str | None = None


async def create_user(database: Database, name: str, email: str | None = None, role: str = "reader") -> User:
    """Create a user. `role` is as in `checked_role`. Raises InvalidValue, and Conflict when the name is taken."""
    user = User(
        new_id("user-"), checked_name(name), checked_email(email), await database.now_ms(), role=checked_role(role)
    )
    async with database.write() as connection:
        await add_user(connection, user)
    return user


async def add_user(connection: AsyncConnection, user: User) -> None:
    """Insert a user or service account in the caller's transaction. Raises Conflict when the name or address is taken."""
    await _check_address(connection, user.id, user.email)
    try:
        await store.insert_user(connection, user)
    except IntegrityError:
        raise Conflict(f"There is a user {quoted(user.name)} already; choose another name.", param="name") from None
    event = "service_account.created" if user.is_service_account else "user.added"
    await log_changes(connection, Change(event, user.id, None, user_facts(user), user.project_id))


async def show_user(database: Database, name_or_id: str) -> tuple[User, list[tuple[str, str, str]]]:
    """Return a person with id, name and role of each of their projects. Raises NotFound."""
    async with database.read() as connection:
        user = await get_person(connection, name_or_id)
        return user, await members.projects_of(connection, user.id)


async def modify_user(database: Database, name_or_id: str, change: UserChange) -> User:
    """Change a user. Whoever is disabled is signed out, too. Raises NotFound; InvalidValue; Conflict when the name is taken."""
    now_ms, values = await database.now_ms(), _values(change)
    async with database.write() as connection:
        user = await (get_person if values or change.disabled is None else get_user)(connection, name_or_id)
        if change.disabled is not None and change.disabled != (user.disabled_at_ms is not None):
            values["disabled_at_ms"] = now_ms if change.disabled else None
        if values.get("disabled_at_ms"):
            await sign_in.revoke_sessions(connection, now_ms, user_id=user.id)
        return await change_user(connection, user, **values) if values else user


def _values(change: UserChange) -> dict[str, object]:
    values: dict[str, object] = {}
    if change.role is not None:
        values["role"] = checked_role(change.role)
    if change.name is not None:
        values["name"] = checked_name(change.name)
    if change.email is not None:
        values["email"] = checked_email(change.email)
    if change.access_role is not None:
        values["access_role"] = checked_access_role(change.access_role)
    return values


async def change_user(connection: AsyncConnection, user: User, **values: object) -> User:
    """Write fields of a user and log the change, if any. Raises Conflict for a taken name or address, and for the last owner."""
    await _check_address(connection, user.id, values.get("email"))
    try:
        if not await store.update_user(connection, user.id, **values):
            raise Conflict(f"{quoted(user.name)} {LAST_OWNER}.", param="access_role")
    except IntegrityError:
        raise Conflict(f"The name {quoted(str(values.get('name')))} is taken; choose another.", param="name") from None
    after = await store.find_user(connection, user.id)
    assert after is not None
    event = "service_account.updated" if user.is_service_account else "user.updated"
    await log_changes(connection, Change(event, user.id, user_facts(user), user_facts(after), user.project_id))
    return after


async def get_user(connection: AsyncConnection, name_or_id: str) -> User:
    """Return a user by name or id, or a service account by id. Raises NotFound, also for a deleted one."""
    user = await store.find_user(connection, normalized(name_or_id))
    if user is None or user.deleted_at_ms is not None:
        raise NotFound(f"There is no user {quoted(name_or_id)}. `imagegate users list` names them all.", param="user")
    return user


async def get_person(connection: AsyncConnection, name_or_id: str) -> User:
    """Return a person by name or id. Raises NotFound, also for a deleted one and for a service account."""
    user = await get_user(connection, name_or_id)
    if user.is_service_account:
        raise NotFound(f"There is no user {quoted(name_or_id)}; it is a service account.", param="user")
    return user


async def get_active_user(connection: AsyncConnection, name_or_id: str) -> User:
    """Return a user who is not disabled. Raises NotFound, and Conflict for a disabled one."""
    user = await get_user(connection, name_or_id)
    if user.disabled_at_ms is not None:
        message = f"The user {quoted(user.name)} is disabled; `imagegate users enable {user.id}` undoes that."
        raise Conflict(message, param="user")
    return user


async def user_ids_of(connection: AsyncConnection, reference: str) -> list[str]:
    """Find a user, service account or deleted user by id, people by name or e-mail address, or service accounts by name, which is
    unique in their project only. Raises NotFound."""
    if (user := await store.find_user(connection, normalized(reference))) is not None:
        return [user.id]
    if (user := await store.find_user_by_email(connection, reference.strip())) is not None:
        return [user.id]
    if not (found := await store.find_service_accounts(connection, normalized(reference))):
        raise NotFound(f"There is no user {quoted(reference)}. `imagegate users list` names them all.", param="user")
    return [user.id for user in found]


def checked_role(text: str) -> str:
    """Return a role of the organization: owner, reader, or any other word that can be a name. It is kept for clients and grants
    nothing; an admin key has a role of its own. Raises InvalidValue."""
    return checked_name(text, "role")


def checked_access_role(text: str) -> AccessRole:
    """Return the role of a person's sessions. Raises InvalidValue."""
    for role in ACCESS_ROLES:
        if role == text:
            return role
    raise InvalidValue(f"The role is {', '.join(ACCESS_ROLES)}; not {quoted(text)}.", param="access_role")


async def _check_address(connection: AsyncConnection, user_id: str, email: object) -> None:
    """Raise Conflict for the address of somebody else. Changes of people run one after another, so that this look is enough."""
    there = await store.find_user_by_email(connection, email) if isinstance(email, str) else None
    if there is not None and there.id != user_id:
        raise Conflict(f"The user {quoted(there.name)} has the e-mail address {quoted(str(email))}.", param="email")


def user_facts(user: User) -> Facts:
    """Return the fields of a user that the audit log keeps."""
    person = {"email": user.email, "role": user.role, "access_role": user.access_role}
    own = {"project_id": user.project_id} if user.is_service_account else person
    return {"name": user.name, **own, "disabled": user.disabled_at_ms is not None}
