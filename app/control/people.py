"""Projects and users."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import checked_email, checked_name, reference, shown
from app.core.ids import new_id
from app.errors import Conflict, NotFound
from app.store import organization as store
from app.store.engine import Database
from app.store.organization import Project, User

DEFAULT_PROJECT = "default"


async def create_user(database: Database, name: str, email: str | None = None) -> User:
    """Raises InvalidValue, and Conflict when the name is taken."""
    user = User(new_id("user-"), checked_name(name), checked_email(email), await database.now_ms())
    async with database.write() as connection:
        await add_user(connection, user)
    return user


async def add_user(connection: AsyncConnection, user: User) -> None:
    """Raises Conflict when the name is taken."""
    try:
        await store.insert_user(connection, user)
    except IntegrityError:
        raise Conflict(f"There is a user {shown(user.name)} already; choose another name.", param="name") from None


async def list_users(database: Database) -> list[User]:
    """By name."""
    async with database.read() as connection:
        return await store.list_users(connection)


async def disable_user(database: Database, name_or_id: str) -> User:
    """No key of the user works any more; doing it twice is harmless. Raises NotFound."""
    return await _set_disabled(database, name_or_id, await database.now_ms())


async def enable_user(database: Database, name_or_id: str) -> User:
    """The user's keys work again; doing it twice is harmless. Raises NotFound."""
    return await _set_disabled(database, name_or_id, None)


async def _set_disabled(database: Database, name_or_id: str, at_ms: int | None) -> User:
    async with database.write() as connection:
        user = await the_user(connection, name_or_id)
        if (user.disabled_at_ms is None) != (at_ms is None):
            await store.set_disabled(connection, user.id, at_ms)
        return await the_user(connection, user.id)


async def create_project(database: Database, name: str) -> Project:
    """Raises InvalidValue, and Conflict when the name is taken."""
    project = Project(new_id("proj_"), checked_name(name), await database.now_ms())
    async with database.write() as connection:
        try:
            await store.insert_project(connection, project)
        except IntegrityError:
            message = f"There is a project {shown(project.name)} already; choose another name."
            raise Conflict(message, param="name") from None
    return project


async def list_projects(database: Database) -> list[Project]:
    """By name."""
    async with database.read() as connection:
        return await store.list_projects(connection)


async def the_user(connection: AsyncConnection, name_or_id: str) -> User:
    """Raises NotFound."""
    user = await store.find_user(connection, reference(name_or_id))
    if user is None:
        raise NotFound(f"There is no user {shown(name_or_id)}. `imagegate users list` names them all.", param="user")
    return user


async def the_project(connection: AsyncConnection, name_or_id: str) -> Project:
    """Raises NotFound."""
    project = await store.find_project(connection, reference(name_or_id))
    if project is None:
        message = f"There is no project {shown(name_or_id)}. `imagegate projects list` names them all."
        raise NotFound(message, param="project")
    return project
