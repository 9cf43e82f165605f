"""Choices that forms and filters of several pages offer."""

from app.console.visit import Visit
from app.control.members import active_projects_of
from app.control.models import list_models
from app.store.organization import page_of_projects
from app.store.pages import Cursor


async def models_and(visit: Visit, chosen: str) -> list[str]:
    """List the models of the catalog, and the chosen one, if any."""
    return sorted({row.model for row in await list_models(visit.database)} | {chosen} - {""})


async def all_projects(visit: Visit, *, include_archived: bool = True) -> list[tuple[str, str]]:
    """List id and name of every project."""
    page = await visit.database.ask(page_of_projects, Cursor(limit=1000), include_archived)
    return [(project.id, project.name) for project in page.records]


async def projects_to_filter(visit: Visit) -> list[tuple[str, str]]:
    """List id and name of the projects to filter by: of owners and readers all, of members their own."""
    return await (all_projects(visit) if visit.sees_all else active_projects_of(visit.database, visit.user.user_id))
