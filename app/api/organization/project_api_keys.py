"""/organization/projects/{project_id}/api_keys: the keys of a project."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from app.api.organization import resource_examples as examples
from app.api.organization import shapes
from app.api.organization.bodies import Body, Scopes, body, only_looks
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.api.organization.limit_bodies import KeyLimit
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.control import keys
from app.control import project_keys as control
from app.control.project_keys import KeyChange, WantedProjectKey
from app.store.pages import Cursor

router = APIRouter(prefix="/projects/{project_id}/api_keys", tags=["Project API keys"])
GRACE_S = 86_400


_LIMIT = {"unit": "images", "interval": "day", "amount": 100}
_CREATE = {
    "user_id": "lin",
    "name": "laptop",
    "expires_in_seconds": 7776000,
    "models": ["seedream-3.0"],
    "limits": [_LIMIT],
}


class ApiKeyCreate(Body, json_schema_extra={"example": _CREATE}):
    user_id: str
    name: str | None = None
    expires_in_seconds: int | None = None
    models: list[str] | None = None
    limits: list[KeyLimit] | None = None
    scopes: Scopes = None


class ApiKeyUpdate(Body, json_schema_extra={"example": {"expires_in_seconds": 7776000}}):
    expires_in_seconds: int | None = None
    scopes: Scopes = None
    name: str | None = None
    models: list[str] | None = None


class ApiKeyRotate(Body, json_schema_extra={"example": {"grace_period_seconds": GRACE_S}}):
    grace_period_seconds: int = GRACE_S


@router.post("", **described(examples.API_KEY_CREATED, 400, 403, 404, 409, body=ApiKeyCreate, extension=True))
async def create_project_api_key(
    admin: AdminWriter, project_id: str, wanted: Annotated[ApiKeyCreate, Depends(body(ApiKeyCreate))]
) -> dict[str, Any]:
    """Ours. A key for a user or service account; its `value` is shown this once. A user becomes a member of the project."""
    limits = [(limit.model, limit.change()) for limit in wanted.limits or []]
    read_only = only_looks(wanted.scopes)
    order = WantedProjectKey(wanted.user_id, wanted.name, wanted.expires_in_seconds, wanted.models, limits, read_only)
    created = await control.create_project_key(admin.database, admin.gateway.pepper, project_id, order)
    return {**shapes.project_api_key(await keys.show_key(admin.database, created.id)), "value": created.key}


@router.get("", **described(list_object([examples.API_KEY]), 400, 404))
async def list_project_api_keys(
    admin: Admin,
    project_id: str,
    after: After = None,
    limit: Limit = LIMIT,
    owner_project_access: Annotated[Literal["active", "inactive", "any"], Query()] = "any",
) -> dict[str, Any]:
    """By creation, without deleted ones; by whether their owner may act in the project."""
    access = {"active": True, "inactive": False}.get(owner_project_access)
    page = await control.page_of_project_keys(admin.database, project_id, Cursor(after, limit), access)
    return listed(page, shapes.project_api_key)


@router.get("/{api_key_id}", **described(examples.API_KEY, 404))
async def retrieve_project_api_key(admin: Admin, project_id: str, api_key_id: str) -> dict[str, Any]:
    """One of them; never its value."""
    return shapes.project_api_key(await control.show_project_key(admin.database, project_id, api_key_id))


@router.post("/{api_key_id}", **described(examples.API_KEY, 400, 403, 404, 409, body=ApiKeyUpdate))
async def modify_project_api_key(
    admin: AdminWriter, project_id: str, api_key_id: str, wanted: Annotated[ApiKeyUpdate, Depends(body(ApiKeyUpdate))]
) -> dict[str, Any]:
    """Another expiry. With `scopes: []` it may do everything, and with any of `api.model.request`, `model.request` and
    `api.model.images.request` too; with others alone, as `["api.all.read"]`, it looks and buys nothing: `scopes` of the answer
    says which. Ours: `name`, and `models`, where an empty list allows every model again, but not to a key that only looks."""
    read_only = None if wanted.scopes is None else only_looks(wanted.scopes)
    change = KeyChange(wanted.name, wanted.expires_in_seconds, wanted.models, read_only)
    return shapes.project_api_key(await control.change_project_key(admin.database, project_id, api_key_id, change))


@router.delete("/{api_key_id}", **described(examples.gone(examples.API_KEY), 403, 404))
async def delete_project_api_key(admin: AdminWriter, project_id: str, api_key_id: str) -> dict[str, Any]:
    """It never works again."""
    key = await control.delete_project_key(admin.database, project_id, api_key_id)
    return shapes.deleted("organization.project.api_key", key.id)


@router.post(
    "/{api_key_id}/rotate",
    **described(examples.API_KEY_ROTATED, 400, 403, 404, 409, body=ApiKeyRotate, extension=True),
)
async def rotate_project_api_key(
    admin: AdminWriter, project_id: str, api_key_id: str, wanted: Annotated[ApiKeyRotate, Depends(body(ApiKeyRotate))]
) -> dict[str, Any]:
    """Ours. A new `value` for the same key, whose limits and history go on; the old one works for the grace period too."""
    await control.show_project_key(admin.database, project_id, api_key_id)
    rotated = await keys.rotate_key(admin.database, admin.gateway.pepper, api_key_id, wanted.grace_period_seconds)
    return {**shapes.project_api_key(await keys.show_key(admin.database, rotated.id)), "value": rotated.key}
