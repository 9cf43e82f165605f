"""Users: people who may hold keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import checked_email, checked_name, reference, shown
from app.core.ids import new_id
from app.errors import Conflict, NotFound
from app.store import members
from app.store import organization as store
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.organization import User
from app.store.pages import Cursor, Page


@dataclass(frozen=True, slots=True)
class UserChange:
    """Change of a user; None keeps what is there. A service account can only be `disabled`, or not."""

    role: str | None = None
    name: str | None = None
    email: str | None = None
    disabled: bool | None = None


async def create_user(database: Database, name: str, email: str | None = None, role: str = "reader") -> User:
    """`role` as in `checked_role`. Raises InvalidValue, and Conflict when the name is taken."""
    user = User(
        new_id("user-"), checked_name(name), checked_email(email), await database.now_ms(), role=checked_role(role)
    )
    async with database.write() as connection:
        await add_user(connection, user)
    return user


async def add_user(connection: AsyncConnection, user: User) -> None:
    """Raises Conflict when the name is taken."""
    try:
        await store.insert_user(connection, user)
    except IntegrityError:
        raise Conflict(f"There is a user {shown(user.name)} already; choose another name.", param="name") from None
    event = "service_account.created" if user.is_service_account else "user.added"
    await log_changes(connection, Change(event, user.id, None, user_facts(user), user.project_id))


async def list_users(database: Database) -> list[User]:
    """People, by name."""
    async with database.read() as connection:
        return await store.list_users(connection)


async def page_of_users(database: Database, cursor: Cursor, emails: Sequence[str] = ()) -> Page[User]:
    """People, by creation; with `emails` only theirs. Raises InvalidValue for the cursor."""
    async with database.read() as connection:
        return await store.page_of_users(connection, cursor, emails)


async def show_user(database: Database, name_or_id: str) -> tuple[User, list[tuple[str, str, str]]]:
    """A person, and id, name and role of each project they belong to. Raises NotFound."""
    async with database.read() as connection:
        user = await the_person(connection, name_or_id)
        return user, await members.projects_of(connection, user.id)


async def modify_user(database: Database, name_or_id: str, change: UserChange) -> User:
    """Raises NotFound; InvalidValue; Conflict when the name is taken."""
    now_ms, values = await database.now_ms(), _values(change)
    async with database.write() as connection:
        user = await (the_person if values or change.disabled is None else the_user)(connection, name_or_id)
        if change.disabled is not None and change.disabled != (user.disabled_at_ms is not None):
            values["disabled_at_ms"] = now_ms if change.disabled else None
        return await change_user(connection, user, **values) if values else user


def _values(change: UserChange) -> dict[str, object]:
    values: dict[str, object] = {}
    if change.role is not None:
        values["role"] = checked_role(change.role)
    if change.name is not None:
        values["name"] = checked_name(change.name)
    if change.email is not None:
        values["email"] = checked_email(change.email)
    return values


async def change_user(connection: AsyncConnection, user: User, **values: object) -> User:
    """Write these fields and log the change; nothing is logged where nothing changes. Raises Conflict for a taken name."""
    try:
        await store.update_user(connection, user.id, **values)
    except IntegrityError:
        raise Conflict(f"The name {shown(str(values.get('name')))} is taken; choose another.", param="name") from None
    after = await store.find_user(connection, user.id)
    assert after is not None
    event = "service_account.updated" if user.is_service_account else "user.updated"
    await log_changes(connection, Change(event, user.id, user_facts(user), user_facts(after), user.project_id))
    return after


async def the_user(connection: AsyncConnection, name_or_id: str) -> User:
    """A user that is not deleted, or by its id a service account. Raises NotFound."""
    user = await store.find_user(connection, reference(name_or_id))
    if user is None or user.deleted_at_ms is not None:
        raise NotFound(f"There is no user {shown(name_or_id)}. `imagegate users list` names them all.", param="user")
    return user


async def the_person(connection: AsyncConnection, name_or_id: str) -> User:
    """Person that is not deleted. Raises NotFound, also for a service account."""
    user = await the_user(connection, name_or_id)
    if user.is_service_account:
        raise NotFound(f"There is no user {shown(name_or_id)}; it is a service account.", param="user")
    return user


async def active_user(connection: AsyncConnection, name_or_id: str) -> User:
    """Raises NotFound, and Conflict for one that is disabled."""
    user = await the_user(connection, name_or_id)
    if user.disabled_at_ms is not None:
        message = f"The user {shown(user.name)} is disabled; `imagegate users enable {user.id}` undoes that."
        raise Conflict(message, param="user")
    return user


def checked_role(text: str) -> str:
    """owner or reader, or any other word that can be a name: kept as it came, granting nothing. What may be changed with an
    admin key is told by the key's own role. Raises InvalidValue."""
    return checked_name(text, "role")


def user_facts(user: User) -> Facts:
    """Fields of a user that the log of changes keeps."""
    own = {"project_id": user.project_id} if user.is_service_account else {"email": user.email, "role": user.role}
    return {"name": user.name, **own, "disabled": user.disabled_at_ms is not None}
