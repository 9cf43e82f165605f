"""Who belongs to which project. Keys of somebody who does not belong to their project do not work."""

from typing import get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import shown
from app.control.people import active_user
from app.control.projects import active_project, the_project
from app.errors import Conflict, InvalidValue, NotFound
from app.store import members as store
from app.store import organization
from app.store.audit_logs import Change, note
from app.store.engine import Database
from app.store.members import Member, ProjectRole
from app.store.organization import Project, User
from app.store.pages import Cursor, Page

PROJECT_ROLES: tuple[ProjectRole, ...] = get_args(ProjectRole)


async def add_member(
    database: Database, project_id: str, role: str, user: str | None = None, email: str | None = None
) -> Member:
    """By name or id, or by an e-mail address that is one person's. Whoever belongs to it already gets the role.

    Raises InvalidValue; NotFound; Conflict for an archived project and a disabled user.
    """
    checked, now_ms = checked_project_role(role), await database.now_ms()
    async with database.write() as connection:
        project = await active_project(connection, project_id)
        found = await _person(connection, user, email)
        if await store.add(connection, project.id, found.id, checked, now_ms):
            await _added(connection, project, found.id, checked)
            return await the_member(connection, project.id, found.id)
        return await _with_role(connection, project.id, found.id, checked)


async def ensure_member(connection: AsyncConnection, project: Project, user: User, now_ms: int) -> None:
    """As part of a larger change; whoever belongs to it already keeps the role."""
    if await store.add(connection, project.id, user.id, "member", now_ms):
        await _added(connection, project, user.id, "member")


async def page_of_members(database: Database, project_id: str, cursor: Cursor) -> Page[Member]:
    """By when they were added. Raises NotFound, and InvalidValue for the cursor."""
    async with database.read() as connection:
        project = await the_project(connection, project_id)
        return await store.page(connection, project.id, cursor)


async def show_member(database: Database, project_id: str, user_id: str) -> Member:
    """Raises NotFound."""
    async with database.read() as connection:
        project = await the_project(connection, project_id)
        return await the_member(connection, project.id, user_id)


async def set_member_role(database: Database, project_id: str, user_id: str, role: str) -> Member:
    """owner or member of the project. Raises NotFound, InvalidValue, Conflict for an archived project."""
    checked = checked_project_role(role)
    async with database.write() as connection:
        project = await active_project(connection, project_id)
        return await _with_role(connection, project.id, user_id, checked)


async def remove_member(database: Database, project_id: str, user_id: str) -> Member:
    """The user's keys in this project stop working within a second, and work again once the user is back. Raises NotFound."""
    async with database.write() as connection:
        project = await the_project(connection, project_id)
        member = await the_member(connection, project.id, user_id)
        await store.remove(connection, project.id, user_id)
        before = {"role": member.role}
        await note(connection, Change("user.deleted", user_id, before, None, project.id))
    return member


async def the_member(connection: AsyncConnection, project_id: str, user_id: str) -> Member:
    """Raises NotFound."""
    member = await store.find(connection, project_id, user_id)
    if member is None:
        raise NotFound(f"There is no user {shown(user_id)} in this project.", param="user_id")
    return member


def checked_project_role(text: str) -> ProjectRole:
    """Raises InvalidValue."""
    for role in PROJECT_ROLES:
        if role == text:
            return role
    raise InvalidValue(f"The role in a project is owner or member; not {shown(text)}.", param="role")


async def _with_role(connection: AsyncConnection, project_id: str, user_id: str, role: ProjectRole) -> Member:
    before = await the_member(connection, project_id, user_id)
    await store.set_role(connection, project_id, user_id, role)
    await note(connection, Change("user.updated", user_id, {"role": before.role}, {"role": role}, project_id))
    return await the_member(connection, project_id, user_id)


async def _added(connection: AsyncConnection, project: Project, user_id: str, role: ProjectRole) -> None:
    await note(connection, Change("user.added", user_id, None, {"role": role}, project.id))


async def _person(connection: AsyncConnection, user: str | None, email: str | None) -> User:
    if (user is None) == (email is None):
        raise InvalidValue("Name the user by either user_id or email.", param="user_id")
    if user is not None:
        found = await active_user(connection, user)
        if found.is_service_account:
            raise Conflict("A service account belongs to its own project only.", param="user_id")
        return found
    there = await organization.find_user_by_email(connection, email or "")
    if len(there) != 1:
        many = f"{len(there)} users have" if there else "No user has"
        raise NotFound(f"{many} the e-mail address {shown(email or '')}; give a user_id.", param="email")
    return await active_user(connection, there[0].id)
