"""Pages of projects: a list, and one project with its members, limits and spending."""

from starlette.responses import Response

from app.api.schemas.limits import LimitOut
from app.console.limit_forms import limit_values
from app.console.visit import Visit, signed_in
from app.control import limits, members, projects
from app.control.limits import ScopeRef
from app.control.people_lists import page_of_project_summaries
from app.control.projects import get_project
from app.errors import GatewayError
from app.store.organization import Project
from app.store.pages import Cursor

PAGE_ROWS = 50


async def list_projects(visit: Visit) -> Response:
    """List projects by name, with what was spent in them this month."""
    return await _list_page(visit)


async def create_project(visit: Visit) -> Response:
    """Make a project."""
    name = (await visit.form()).get("name", "")
    try:
        project = await projects.create_project(visit.database, name)
    except GatewayError as exc:
        return await _list_page(visit, name, exc)
    return visit.redirect(f"/projects/{project.id}", done="made")


async def show_project(visit: Visit) -> Response:
    """Show one project."""
    return await _page(visit, await _project(visit))


async def add_member(visit: Visit) -> Response:
    """Add a person to a project, by name or address."""
    project, who = await _project(visit), (await visit.form()).get("person", "")
    by_mail = "@" in who
    try:
        await members.add_member(
            visit.database, project.id, "member", None if by_mail else who, who if by_mail else None
        )
    except GatewayError as exc:
        return await _page(visit, project, who, exc)
    return visit.redirect(f"/projects/{project.id}", done="added")


async def remove_member(visit: Visit) -> Response:
    """Take a person out of a project: their keys in it stop working."""
    project = await _project(visit)
    await members.remove_member(visit.database, project.id, visit.request.path_params["user_id"])
    return visit.redirect(f"/projects/{project.id}", done="removed")


async def _project(visit: Visit) -> Project:
    """Return the project that the address names. Raises NotFound."""
    return await visit.database.ask(get_project, visit.request.path_params["project_id"])


async def _list_page(visit: Visit, name: str = "", error: GatewayError | None = None) -> Response:
    words, cursor = visit.query.get("q", "").strip()[:200], Cursor(visit.query.get("after"), PAGE_ROWS)
    page = await page_of_project_summaries(visit.database, visit.parts.gateway.zone, cursor, words)
    return visit.render(
        "projects.html",
        rows=[(each, None if each.limit is None else LimitOut.of(each.limit)) for each in page.records],
        more=page.records[-1].project.id if page.has_more else None,
        words=words,
        name=name,
        error=error,
    )


async def _page(visit: Visit, project: Project, who: str = "", error: GatewayError | None = None) -> Response:
    database, zone = visit.database, visit.parts.gateway.zone
    found = await page_of_project_summaries(database, zone, Cursor(limit=1), project.id)
    cursor = Cursor(visit.query.get("after"), PAGE_ROWS)
    people = await members.page_of_members(database, project.id, cursor)
    states = await limits.show_limits(database, zone, ScopeRef("project", project.id))
    return visit.render(
        "project.html",
        project=project,
        summary=found.records[0] if found.records else None,
        people=people.records,
        more=people.records[-1].id if people.has_more else None,
        limits=[LimitOut.of(state) for state in states],
        who=who,
        error=error,
        **await limit_values(visit),
    )


routes = (
    ("GET", "/projects", signed_in(list_projects, "owner", "reader")),
    ("POST", "/projects", signed_in(create_project, "owner")),
    ("GET", "/projects/{project_id}", signed_in(show_project, "owner", "reader")),
    ("POST", "/projects/{project_id}/members", signed_in(add_member, "owner")),
    ("POST", "/projects/{project_id}/members/{user_id}/remove", signed_in(remove_member, "owner")),
)
