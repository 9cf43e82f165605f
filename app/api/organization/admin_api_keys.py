"""/organization/admin_api_keys: keys of the administration API."""

from fastapi import APIRouter

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit, Order
from app.api.schemas.admin_keys import AdminApiKeyCreate, AdminApiKeyCreated, AdminApiKeyOut
from app.api.schemas.base import DeletedOut, ListOut
from app.control import admin_keys
from app.control.admin_keys import NewAdminKey
from app.store.admin_keys import page_of_admin_keys
from app.store.pages import Cursor

router = APIRouter(prefix="/admin_api_keys", tags=["Admin API keys"])


@router.post("")
async def create_admin_api_key(caller: AdminWriter, body: Body[AdminApiKeyCreate]) -> AdminApiKeyCreated:
    """Create an admin API key. Only this answer has its `value`. Extensions: `role` owner or reader, and `user_id`, its owner."""
    user = body.user_id or caller.user_id
    new = NewAdminKey(body.name, body.role, user, body.expires_in_seconds)
    created = await admin_keys.create_admin_key(caller.database, caller.pepper, new)
    return AdminApiKeyCreated.of(await caller.database.ask(admin_keys.get_admin_key, created.id), value=created.key)


@router.get("")
async def list_admin_api_keys(
    caller: Admin, after: After = None, limit: Limit = LIMIT, order: Order = "asc"
) -> ListOut[AdminApiKeyOut]:
    """List admin API keys by creation, without deleted ones."""
    page = await caller.database.ask(page_of_admin_keys, Cursor(after, limit, descending=order == "desc"))
    return ListOut[AdminApiKeyOut].of_page(page, AdminApiKeyOut.of)


@router.get("/{key_id}")
async def retrieve_admin_api_key(caller: Admin, key_id: str) -> AdminApiKeyOut:
    """Retrieve an admin API key, without its value."""
    return AdminApiKeyOut.of(await caller.database.ask(admin_keys.get_admin_key, key_id))


@router.delete("/{key_id}")
async def delete_admin_api_key(caller: AdminWriter, key_id: str) -> DeletedOut:
    """Delete an admin API key: it is refused from now on."""
    key = await admin_keys.revoke_admin_key(caller.database, key_id)
    return DeletedOut.of("organization.admin_api_key", key.id)
