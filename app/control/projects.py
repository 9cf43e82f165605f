"""Projects: teams and cost centres; every key belongs to one."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.names import checked_name, normalized, quoted
from app.core.ids import new_id
from app.errors import Conflict, NotFound
from app.store import limits
from app.store import organization as store
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.organization import Project

DEFAULT_PROJECT = "default"
DEFAULT_PROJECT_ID = "proj_default"


async def create_project(database: Database, name: str) -> Project:
    """Create a project. Raises InvalidValue, and Conflict when the name is taken."""
    checked, now_ms = checked_name(name), await database.now_ms()
    async with database.write() as connection:
        return await add_project(connection, checked, now_ms)


async def add_project(connection: AsyncConnection, name: str, now_ms: int) -> Project:
    """Create a project in the caller's transaction. Raises InvalidValue, and Conflict when the name is taken."""
    project = Project(new_id("proj_"), checked_name(name), now_ms)
    try:
        await store.insert_project(connection, project)
    except IntegrityError:
        raise _taken(project.name) from None
    await log_changes(connection, Change("project.created", project.id, None, _facts(project), project.id))
    return project


async def rename_project(database: Database, name_or_id: str, name: str) -> Project:
    """Rename a project, also in reports of the past. Raises NotFound; InvalidValue; Conflict: taken, or archived."""
    checked = checked_name(name)
    async with database.write() as connection:
        project = await get_active_project(connection, name_or_id)
        return await _change(connection, "project.updated", project, name=checked)


async def archive_project(database: Database, name_or_id: str) -> Project:
    """Archive a project for good: its keys stop working, its requests stay in the book. Repeating it keeps the first instant.

    Raises NotFound, and Conflict for the default project, where the command line makes keys.
    """
    now_ms = await database.now_ms()
    async with database.write() as connection:
        project = await get_project(connection, name_or_id)
        if project.archived_at_ms is not None:
            return project
        if project.id == DEFAULT_PROJECT_ID:
            raise Conflict("The default project cannot be archived.", param="project")
        return await archive_with(connection, project, now_ms)


async def archive_with(connection: AsyncConnection, project: Project, now_ms: int) -> Project:
    """Archive a project in the caller's transaction."""
    archived = await _change(connection, "project.archived", project, archived_at_ms=now_ms)
    await limits.apply_defaults(connection)  # Those of the project hold no longer.
    return archived


async def get_project(connection: AsyncConnection, name_or_id: str) -> Project:
    """Return a project by name or id, also an archived one. Raises NotFound."""
    project = await store.find_project(connection, normalized(name_or_id))
    if project is None:
        message = f"There is no project {quoted(name_or_id)}. `imagegate projects list` names them all."
        raise NotFound(message, param="project")
    return project


async def get_active_project(connection: AsyncConnection, name_or_id: str) -> Project:
    """Return a project that is not archived. Raises NotFound, and Conflict for an archived one."""
    project = await get_project(connection, name_or_id)
    if project.archived_at_ms is not None:
        raise Conflict(f"The project {quoted(project.name)} is archived; choose another.", param="project")
    return project


async def _change(connection: AsyncConnection, event: str, project: Project, **values: object) -> Project:
    try:
        await store.update_project(connection, project.id, **values)
    except IntegrityError:
        raise _taken(str(values["name"])) from None
    after = await get_project(connection, project.id)
    await log_changes(connection, Change(event, project.id, _facts(project), _facts(after), project.id))
    return after


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a project {quoted(name)} already; choose another name.", param="name")


def _facts(project: Project) -> Facts:
    return {"name": project.name, "archived": project.archived_at_ms is not None}
