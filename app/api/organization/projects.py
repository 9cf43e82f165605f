"""/organization/projects: teams and cost centres, the models they may use, and their rate limits for each model."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from fastapi import Query as QueryField

from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.reading import LIMIT, LIMIT_MAX, After, Before, Body, Limit
from app.api.schemas.base import ListOut, RemovedOut
from app.api.schemas.projects import (
    ModelPermissionsOut,
    ModelPermissionsSet,
    ProjectCreate,
    ProjectOut,
    ProjectUpdate,
    RateLimitOut,
    RateLimitUpdate,
)
from app.control import limits, models, projects
from app.control.limits import ScopeRef
from app.control.projects import get_project
from app.core.grants import ModelRule
from app.errors import InvalidValue, NotFound
from app.store.organization import page_of_projects
from app.store.pages import Cursor

router = APIRouter(prefix="/projects", tags=["Projects"])
_RateLimit = Annotated[int, QueryField(ge=0, le=LIMIT_MAX, description="How many to return: 1 to 100; 0 is 100.")]


@router.post("")
async def create_project(caller: AdminWriter, body: Body[ProjectCreate]) -> ProjectOut:
    """Create a project. Names are unique, so that the command line and reports can use them."""
    return ProjectOut.of(await projects.create_project(caller.database, body.name))


@router.get("")
async def list_projects(
    caller: Admin, after: After = None, limit: Limit = LIMIT, include_archived: bool = False
) -> ListOut[ProjectOut]:
    """List projects by creation."""
    page = await caller.database.ask(page_of_projects, Cursor(after, limit), include_archived=include_archived)
    return ListOut[ProjectOut].of_page(page, ProjectOut.of)


@router.get("/{project_id}")
async def retrieve_project(caller: Admin, project_id: str) -> ProjectOut:
    """Retrieve a project, archived or not."""
    return ProjectOut.of(await caller.database.ask(get_project, project_id))


@router.post("/{project_id}")
async def modify_project(caller: AdminWriter, project_id: str, body: Body[ProjectUpdate]) -> ProjectOut:
    """Rename a project."""
    if body.name is None:
        return ProjectOut.of(await caller.database.ask(get_project, project_id))
    return ProjectOut.of(await projects.rename_project(caller.database, project_id, body.name))


@router.post("/{project_id}/archive")
async def archive_project(caller: AdminWriter, project_id: str) -> ProjectOut:
    """Archive a project for good. Its keys stop working; reports keep its usage."""
    return ProjectOut.of(await projects.archive_project(caller.database, project_id))


@router.get("/{project_id}/model_permissions", tags=["Model permissions"])
async def retrieve_model_permissions(project_id: str, caller: Admin) -> ModelPermissionsOut:
    """Retrieve the permissions of a project. Without any it may use every model, which is an empty deny list."""
    rule = await models.show_rule(caller.database, project_id)
    return ModelPermissionsOut.of(rule or ModelRule("deny_list", ()))


@router.post("/{project_id}/model_permissions", tags=["Model permissions"])
async def modify_model_permissions(
    project_id: str, caller: AdminWriter, body: Body[ModelPermissionsSet]
) -> ModelPermissionsOut:
    """Replace the permissions of a project, from the next request on. Other models are refused with 403 `model_not_allowed`."""
    return ModelPermissionsOut.of(await models.set_rule(caller.database, project_id, body.mode, body.model_ids))


@router.delete("/{project_id}/model_permissions", tags=["Model permissions"])
async def delete_model_permissions(project_id: str, caller: AdminWriter) -> RemovedOut:
    """Delete the permissions of a project, which may then use every model. `deleted` is false where there were none."""
    deleted = await models.remove_rule(caller.database, project_id)
    return RemovedOut(object="project.model_permissions.deleted", deleted=deleted)


@router.get("/{project_id}/rate_limits", tags=["Rate limits"])
async def list_rate_limits(
    project_id: str, caller: Admin, after: After = None, before: Before = None, limit: _RateLimit = LIMIT_MAX
) -> ListOut[RateLimitOut]:
    """List the limits of a project for each model of the catalog. 1000000000 means no limit, as always for tokens, which no limit
    counts. Limits for all models together are not in this list."""
    return _page(await _rate_limits(caller, project_id), after, before, limit or LIMIT_MAX)


@router.post("/{project_id}/rate_limits/{rate_limit_id:path}", tags=["Rate limits"])
async def modify_rate_limit(
    project_id: str, rate_limit_id: str, caller: AdminWriter, body: Body[RateLimitUpdate]
) -> RateLimitOut:
    """Change the limits of a project for one model, from the next request on. The id is that of the list or the model's own."""
    rows = await _rate_limits(caller, project_id)
    row = rows[_index(rows, rate_limit_id)]
    if not (changes := body.changes()):
        return row
    where, zone = ScopeRef("project", project_id), caller.gateway.zone
    return RateLimitOut.of(row.model, await limits.set_limits(caller.database, zone, where, row.model, changes))


async def _rate_limits(caller: Administrator, project_id: str) -> list[RateLimitOut]:
    where = ScopeRef("project", project_id)
    states = await limits.show_limits(caller.database, caller.gateway.zone, where)
    catalog = await models.list_models(caller.database)
    return [
        RateLimitOut.of(entry.model, [state for state in states if state.limit.model == entry.model])
        for entry in catalog
    ]


def _index(rows: Sequence[RateLimitOut], rate_limit_id: str) -> int:
    """Find a row by its own id, then by the model's. Raises NotFound."""
    for name in ("id", "model"):
        for index, row in enumerate(rows):
            if getattr(row, name) == rate_limit_id:
                return index
    raise NotFound(
        f"There is no rate limit '{rate_limit_id[:100]}'; GET .../rate_limits lists them.", param="rate_limit_id"
    )


def _page(rows: Sequence[RateLimitOut], after: str | None, before: str | None, limit: int) -> ListOut[RateLimitOut]:
    """Return a page of rows. `after` takes precedence over `before`."""
    try:
        first = 0 if after is None else _index(rows, after) + 1
        end = len(rows) if after is not None or before is None else _index(rows, before)
    except NotFound as exc:
        raise InvalidValue(exc.message, param="after" if after is not None else "before") from None
    if after is None and before is not None:
        return ListOut[RateLimitOut].of(rows[max(0, end - limit) : end], has_more=end > limit)
    return ListOut[RateLimitOut].of(rows[first : first + limit], has_more=first + limit < len(rows))
