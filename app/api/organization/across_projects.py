"""/organization/api_keys and /organization/service_accounts: those of all projects at once (extensions)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.organization import resource_examples as examples
from app.api.organization import shapes
from app.api.organization.deps import Admin
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.control import keys, service_accounts
from app.store.keys import KeyRecord
from app.store.pages import Cursor

router = APIRouter(tags=["Keys and service accounts of all projects (extension)"])


@router.get("/api_keys", **described(list_object([examples.API_KEY_OF_ALL]), 400, extension=True))
async def list_api_keys(caller: Admin, after: After = None, limit: Limit = LIMIT) -> dict[str, Any]:
    """Every API key, newest first: with its project, `status` and, where it is revoked, since when."""
    now_ms = await caller.database.now_ms()

    def shown(key: KeyRecord) -> dict[str, Any]:
        return shapes.api_key_of_all(key, now_ms)

    return listed(await keys.page_of_keys(caller.database, Cursor(after, limit, descending=True)), shown)


@router.get("/api_keys/{api_key_id}", **described(examples.API_KEY_OF_ALL, 404, extension=True))
async def retrieve_api_key(caller: Admin, api_key_id: str) -> dict[str, Any]:
    """One of them, whichever its project, revoked or not; never its value."""
    return shapes.api_key_of_all(await keys.show_key(caller.database, api_key_id), await caller.database.now_ms())


@router.get("/service_accounts", **described(list_object([examples.SERVICE_ACCOUNT_OF_ALL]), 400, 404, extension=True))
async def list_service_accounts(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    project: Annotated[str | None, Query(max_length=200, description="Only of this one: its id or its name.")] = None,
) -> dict[str, Any]:
    """Every service account, by creation."""
    page = await service_accounts.page_of_service_accounts(caller.database, project, Cursor(after, limit))
    return listed(page, shapes.service_account_of_all)
