"""/organization/admin_api_keys: the keys of this API itself."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from app.api.organization import resource_examples as examples
from app.api.organization import shapes
from app.api.organization.bodies import Body, body
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.control import admin_keys as control
from app.control.admin_keys import WantedAdminKey
from app.store.pages import Cursor

router = APIRouter(prefix="/admin_api_keys", tags=["Admin API keys"])


class AdminApiKeyCreate(Body, json_schema_extra={"example": {"name": "automation"}}):
    name: str
    expires_in_seconds: int | None = None
    role: str = "owner"
    user_id: str | None = None


@router.post("", **described(examples.ADMIN_KEY_CREATED, 400, 403, 404, body=AdminApiKeyCreate))
async def create_admin_api_key(
    admin: AdminWriter, wanted: Annotated[AdminApiKeyCreate, Depends(body(AdminApiKeyCreate))]
) -> dict[str, Any]:
    """Make an admin API key; its `value` is shown this once. Ours: `role` owner or reader, and `user_id`, whose it is."""
    user = wanted.user_id or admin.key.user_id
    order = WantedAdminKey(wanted.name, wanted.role, user, wanted.expires_in_seconds)
    created = await control.create_admin_key(admin.database, admin.gateway.pepper, order)
    key = await control.show_admin_key(admin.database, created.id)
    return {**shapes.admin_api_key(key), "value": created.key}


@router.get("", **described(list_object([examples.ADMIN_KEY]), 400))
async def list_admin_api_keys(
    admin: Admin, after: After = None, limit: Limit = LIMIT, order: Annotated[Literal["asc", "desc"], Query()] = "asc"
) -> dict[str, Any]:
    """By creation, without deleted ones."""
    cursor = Cursor(after, limit, descending=order == "desc")
    return listed(await control.list_admin_keys(admin.database, cursor), shapes.admin_api_key)


@router.get("/{key_id}", **described(examples.ADMIN_KEY, 404))
async def retrieve_admin_api_key(admin: Admin, key_id: str) -> dict[str, Any]:
    """One of them; never its value."""
    return shapes.admin_api_key(await control.show_admin_key(admin.database, key_id))


@router.delete("/{key_id}", **described(examples.gone(examples.ADMIN_KEY), 403, 404))
async def delete_admin_api_key(admin: AdminWriter, key_id: str) -> dict[str, Any]:
    """It is refused from now on."""
    key = await control.revoke_admin_key(admin.database, key_id)
    return shapes.deleted("organization.admin_api_key", key.id)
