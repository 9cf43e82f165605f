"""Members of projects. Keys whose owner is no member of their project do not work."""

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import checked_name, quoted
from app.control.people import get_active_user
from app.control.projects import get_active_project, get_project
from app.errors import Conflict, InvalidValue, NotFound
from app.store import members as store
from app.store import organization
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.members import Member
from app.store.organization import Project, User
from app.store.pages import Cursor, Page

NO_ROLE = "none"
"""OpenAI's word for a user without a role. It cannot be given."""


async def add_member(
    database: Database, project_id: str, role: str, user: str | None = None, email: str | None = None
) -> Member:
    """Add a person by name or id, by e-mail address, or by both. A member gets the new role.

    Raises InvalidValue; NotFound; Conflict for an archived project and a disabled user.
    """
    checked, now_ms = checked_project_role(role), await database.now_ms()
    async with database.write() as connection:
        project = await get_active_project(connection, project_id)
        found = await _person(connection, user, email)
        if await store.add(connection, project.id, found.id, checked, now_ms):
            await _added(connection, project, found.id, checked)
            return await get_member(connection, project.id, found.id)
        return await _with_role(connection, project.id, found.id, checked)


async def ensure_member(
    connection: AsyncConnection, project: Project, user: User, now_ms: int, role: str = "member"
) -> str | None:
    """Add a person in the caller's transaction. A member keeps the role, which is returned; None for a new member."""
    if await store.add(connection, project.id, user.id, role, now_ms):
        await _added(connection, project, user.id, role)
        return None
    return (await get_member(connection, project.id, user.id)).role


async def page_of_members(database: Database, project_id: str, cursor: Cursor) -> Page[Member]:
    """List members by the time they were added. Raises NotFound, and InvalidValue for the cursor."""
    async with database.read() as connection:
        project = await get_project(connection, project_id)
        return await store.page(connection, project.id, cursor)


async def active_projects_of(database: Database, user_id: str) -> list[tuple[str, str]]:
    """List id and name of the projects a user is in, by name, without archived ones."""
    async with database.read() as connection:
        found = await store.projects_of(connection, user_id)
        return [(id, name) for id, name, _ in found if (await get_project(connection, id)).archived_at_ms is None]


async def show_member(database: Database, project_id: str, user_id: str) -> Member:
    """Return a member of a project. Raises NotFound."""
    async with database.read() as connection:
        project = await get_project(connection, project_id)
        return await get_member(connection, project.id, user_id)


async def set_member_role(database: Database, project_id: str, user_id: str, role: str) -> Member:
    """Change a role, as `checked_project_role` allows. Raises NotFound, InvalidValue, Conflict for an archived project."""
    checked = checked_project_role(role)
    async with database.write() as connection:
        project = await get_active_project(connection, project_id)
        return await _with_role(connection, project.id, user_id, checked)


async def remove_member(database: Database, project_id: str, user_id: str) -> Member:
    """Remove a member. The user's keys in this project stop working within a second, and work again after `add_member`.

    Raises NotFound.
    """
    async with database.write() as connection:
        project = await get_project(connection, project_id)
        member = await get_member(connection, project.id, user_id)
        await store.remove(connection, project.id, user_id)
        before = {"role": member.role}
        await log_changes(connection, Change("user.deleted", user_id, before, None, project.id))
    return member


async def get_member(connection: AsyncConnection, project_id: str, user_id: str) -> Member:
    """Return a member. Raises NotFound."""
    member = await store.find(connection, project_id, user_id)
    if member is None:
        raise NotFound(f"There is no user {quoted(user_id)} in this project.", param="user_id")
    return member


def checked_project_role(text: str) -> str:
    """Return a role in a project: owner, member, or any other word that can be a name. It grants nothing. Raises InvalidValue."""
    if text == NO_ROLE:
        message = f"{NO_ROLE} stands for somebody without a role in the project; give one, or remove the user from it."
        raise InvalidValue(message, param="role")
    return checked_name(text, "role")


async def _with_role(connection: AsyncConnection, project_id: str, user_id: str, role: str) -> Member:
    before = await get_member(connection, project_id, user_id)
    await store.set_role(connection, project_id, user_id, role)
    await log_changes(connection, Change("user.updated", user_id, {"role": before.role}, {"role": role}, project_id))
    return await get_member(connection, project_id, user_id)


async def _added(connection: AsyncConnection, project: Project, user_id: str, role: str) -> None:
    await log_changes(connection, Change("user.added", user_id, None, {"role": role}, project.id))


async def _person(connection: AsyncConnection, user: str | None, email: str | None) -> User:
    if user is None:
        return await _person_at(connection, email)
    found = await get_active_user(connection, user)
    if found.is_service_account:
        raise Conflict("A service account belongs to its own project only.", param="user_id")
    if email is not None and email.lower() != (found.email or "").lower():
        message = f"The user {quoted(found.name)} has another e-mail address than {quoted(email)}; give one of the two."
        raise InvalidValue(message, param="email")
    return found


async def _person_at(connection: AsyncConnection, email: str | None) -> User:
    if email is None:
        raise InvalidValue("Name the user by user_id or email.", param="user_id")
    there = await organization.find_user_by_email(connection, email)
    if there is None:
        raise NotFound(f"No user has the e-mail address {quoted(email)}; give a user_id.", param="email")
    return await get_active_user(connection, there.id)
