"""API keys: of one project, and of all projects at once."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from app.api.organization.deps import Admin, Administrator, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.schemas.base import EXTENSION, DeletedOut, ListOut
from app.api.schemas.keys import (
    ApiKeyCreate,
    ApiKeyMove,
    ApiKeyOut,
    ApiKeyRotate,
    ApiKeyUpdate,
    ProjectApiKeyCreated,
    ProjectApiKeyOut,
    is_read_only,
)
from app.control import keys, project_keys
from app.control.keys import CreatedKey, KeyFilter
from app.control.project_keys import KeyChange, NewProjectKey
from app.errors import MissingParameter
from app.store.keys import KeyStatus
from app.store.pages import Cursor

router = APIRouter(tags=["API keys"])
IN_PROJECT = "/projects/{project_id}/api_keys"
_Text = Annotated[str | None, Query(max_length=200)]


@router.get("/api_keys", openapi_extra=EXTENSION)
async def list_api_keys(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    user: Annotated[
        _Text, Query(description="Only of this user or service account: name, id or e-mail address.")
    ] = None,
    project: Annotated[_Text, Query(description="Only of this project: name or id.")] = None,
    status: KeyStatus | None = None,
    unused_since: Annotated[
        int | None,
        Query(ge=0, le=32_503_680_000, description="Unix seconds: only those there then and not used since."),
    ] = None,
) -> ListOut[ApiKeyOut]:
    """List API keys of all projects, newest first, with `project`, `status` and `revoked_at`."""
    now_ms = await caller.database.now_ms()
    wanted = KeyFilter(user, project, status, None if unused_since is None else unused_since * 1000)
    page = await keys.page_of_keys(caller.database, Cursor(after, limit, descending=True), wanted)
    return ListOut[ApiKeyOut].of_page(page, lambda key: ApiKeyOut.at(key, now_ms))


@router.get("/api_keys/{api_key_id}", openapi_extra=EXTENSION)
async def retrieve_api_key(caller: Admin, api_key_id: str) -> ApiKeyOut:
    """Retrieve an API key of any project, revoked or not, without its value."""
    return ApiKeyOut.at(await caller.database.ask(keys.get_key, api_key_id), await caller.database.now_ms())


@router.post(IN_PROJECT, openapi_extra=EXTENSION)
async def create_project_api_key(
    caller: AdminWriter, project_id: str, body: Body[ApiKeyCreate]
) -> ProjectApiKeyCreated:
    """Create a key for a user or service account. Only this answer has its `value`. A user becomes a member of the project."""
    new = NewProjectKey(
        body.user_id,
        body.name,
        body.expires_in_seconds,
        body.models,
        [(limit.model, limit.change()) for limit in body.limits or []],
        is_read_only(body.scopes),
    )
    created = await project_keys.create_project_key(caller.database, caller.pepper, project_id, new)
    return await _created(caller, created)


@router.get(IN_PROJECT)
async def list_project_api_keys(
    caller: Admin,
    project_id: str,
    after: After = None,
    limit: Limit = LIMIT,
    owner_project_access: Annotated[Literal["active", "inactive", "any"], Query()] = "any",
) -> ListOut[ProjectApiKeyOut]:
    """List the keys of a project by creation, without deleted ones: all, or those whose owner may (or may not) act in it."""
    access = {"active": True, "inactive": False}.get(owner_project_access)
    page = await project_keys.page_of_project_keys(caller.database, project_id, Cursor(after, limit), access)
    return ListOut[ProjectApiKeyOut].of_page(page, ProjectApiKeyOut.of)


@router.get(IN_PROJECT + "/{api_key_id}")
async def retrieve_project_api_key(caller: Admin, project_id: str, api_key_id: str) -> ProjectApiKeyOut:
    """Retrieve a key of a project, without its value."""
    return ProjectApiKeyOut.of(await caller.database.ask(project_keys.get_project_key, project_id, api_key_id))


@router.post(IN_PROJECT + "/{api_key_id}")
async def modify_project_api_key(
    caller: AdminWriter, project_id: str, api_key_id: str, body: Body[ApiKeyUpdate]
) -> ProjectApiKeyOut:
    """Change the expiry of a key. With `scopes: []`, or any of `api.model.request`, `model.request` and
    `api.model.images.request`, it may do everything; with other scopes alone, like `["api.all.read"]`, it is read-only and can
    buy nothing. Extensions: `name`, and `models`, where an empty list allows every model, except to a read-only key."""
    read_only = None if body.scopes is None else is_read_only(body.scopes)
    change = KeyChange(body.name, body.expires_in_seconds, body.models, read_only)
    return ProjectApiKeyOut.of(await project_keys.change_project_key(caller.database, project_id, api_key_id, change))


@router.delete(IN_PROJECT + "/{api_key_id}")
async def delete_project_api_key(caller: AdminWriter, project_id: str, api_key_id: str) -> DeletedOut:
    """Delete a key: it never works again."""
    key = await project_keys.delete_project_key(caller.database, project_id, api_key_id)
    return DeletedOut.of("organization.project.api_key", key.id)


@router.post(IN_PROJECT + "/{api_key_id}/rotate", openapi_extra=EXTENSION)
async def rotate_project_api_key(
    caller: AdminWriter, project_id: str, api_key_id: str, body: Body[ApiKeyRotate]
) -> ProjectApiKeyCreated:
    """Make a new `value` for a key, which keeps its limits and history. The old value stops at once (`leaked`) or works during the
    grace period."""
    await caller.database.ask(project_keys.get_project_key, project_id, api_key_id)
    return await _created(caller, await keys.rotate_key(caller.database, caller.pepper, api_key_id, body.grace_s()))


@router.post(IN_PROJECT + "/{api_key_id}/move", openapi_extra=EXTENSION)
async def move_project_api_key(
    caller: AdminWriter, project_id: str, api_key_id: str, body: Body[ApiKeyMove]
) -> ApiKeyOut:
    """Move a key to another project, another owner or both; its value and its own limits stay. What was requested before stays
    booked where it was. A user becomes a member of the project."""
    if body.project_id is None and body.user_id is None:
        raise MissingParameter("Say where the key goes: project_id, user_id or both.", param="project_id")
    moved = await project_keys.move_project_key(caller.database, project_id, api_key_id, body.project_id, body.user_id)
    return ApiKeyOut.at(moved, await caller.database.now_ms())


async def _created(caller: Administrator, created: CreatedKey) -> ProjectApiKeyCreated:
    return ProjectApiKeyCreated.of(await caller.database.ask(keys.get_key, created.id), value=created.key)
