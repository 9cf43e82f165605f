"""/organization/projects: teams and cost centres."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BeforeValidator

from app.api.organization import resource_examples as examples
from app.api.organization import shapes
from app.api.organization.bodies import IGNORED, Body, Ignored, body
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.control import projects as control
from app.store.pages import Cursor

router = APIRouter(prefix="/projects", tags=["Projects"])


def _no_region(value: Any) -> Any:
    if value not in (None, "GLOBAL"):
        raise ValueError("this gateway keeps data where it stands, and promises no region; leave it out, or say GLOBAL")
    return value


class ProjectCreate(Body, json_schema_extra={"example": {"name": "web"}}):
    name: str
    external_key_id: Ignored = None
    geography: Ignored = None
    residency: Annotated[Literal["GLOBAL"] | None, BeforeValidator(_no_region), IGNORED] = None


class ProjectUpdate(Body, json_schema_extra={"example": {"name": "website"}}):
    name: str | None = None
    external_key_id: Ignored = None
    geography: Ignored = None


@router.post("", **described(examples.PROJECT, 400, 403, 409, body=ProjectCreate))
async def create_project(
    admin: AdminWriter, wanted: Annotated[ProjectCreate, Depends(body(ProjectCreate))]
) -> dict[str, Any]:
    """Names are taken once here, so that each can stand for its project on the command line and in reports."""
    return shapes.project(await control.create_project(admin.database, wanted.name))


@router.get("", **described(list_object([examples.PROJECT]), 400))
async def list_projects(
    admin: Admin, after: After = None, limit: Limit = LIMIT, include_archived: bool = False
) -> dict[str, Any]:
    """By creation."""
    page = await control.page_of_projects(admin.database, Cursor(after, limit), include_archived=include_archived)
    return listed(page, shapes.project)


@router.get("/{project_id}", **described(examples.PROJECT, 404))
async def retrieve_project(admin: Admin, project_id: str) -> dict[str, Any]:
    """One of them, archived or not."""
    return shapes.project(await control.show_project(admin.database, project_id))


@router.post("/{project_id}", **described(examples.PROJECT, 400, 403, 404, 409, body=ProjectUpdate))
async def modify_project(
    admin: AdminWriter, project_id: str, wanted: Annotated[ProjectUpdate, Depends(body(ProjectUpdate))]
) -> dict[str, Any]:
    """Another name."""
    if wanted.name is None:
        return shapes.project(await control.show_project(admin.database, project_id))
    return shapes.project(await control.rename_project(admin.database, project_id, wanted.name))


@router.post("/{project_id}/archive", **described(examples.ARCHIVED, 403, 404, 409))
async def archive_project(admin: AdminWriter, project_id: str) -> dict[str, Any]:
    """For good: its keys buy nothing any more. Its past stays in every report."""
    return shapes.project(await control.archive_project(admin.database, project_id))
