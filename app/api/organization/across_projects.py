"""/organization/api_keys and /organization/service_accounts: those of all projects at once (extensions)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.organization import shapes
from app.api.organization.deps import Admin
from app.api.organization.docs import described
from app.api.organization.pages import list_object
from app.api.organization.shapes import Shape, seconds
from app.control import keys, service_accounts
from app.store.keys import KeyRecord
from app.store.service_accounts import ServiceAccount

router = APIRouter(tags=["Keys and service accounts of all projects (extension)"])
_KEY = {
    "object": "organization.project.api_key",
    "id": "key_5v8q2x7m1c4b",
    "name": "posters",
    "redacted_value": "sk-ig-...x7Qm",
    "created_at": 1795240000,
    "last_used_at": None,
    "expires_at": None,
    "owner": {
        "type": "user",
        "user": {
            "id": "user-1c4b9z6l0p2d0k3n5v8q2x7m",
            "name": "lin",
            "created_at": 1795240000,
            "role": "member",
            "email": "lin@example.com",
        },
    },
    "owner_project_access": "active",
    "models": None,
    "previous_value_expires_at": None,
    "project": {"id": "proj_default", "name": "default"},
    "status": "active",
    "revoked_at": None,
}
_ACCOUNT = {
    "object": "organization.project.service_account",
    "id": "user-2d0k3n5v8q2x7m1c4b9z6l0p",
    "name": "ci",
    "role": "member",
    "created_at": 1795240000,
    "project_id": "proj_default",
}


@router.get("/api_keys", **described(list_object([_KEY]), extension=True))
async def list_api_keys(caller: Admin) -> dict[str, Any]:
    """Every API key at once, newest first: with its project, `status` and, where it is revoked, since when."""
    now_ms = await caller.database.now_ms()
    return list_object([_key(key, now_ms) for key in await keys.list_keys(caller.database)])


@router.get("/api_keys/{api_key_id}", **described(_KEY, 404, extension=True))
async def retrieve_api_key(caller: Admin, api_key_id: str) -> dict[str, Any]:
    """One of them, whichever its project, revoked or not; never its value."""
    return _key(await keys.show_key(caller.database, api_key_id), await caller.database.now_ms())


@router.get("/service_accounts", **described(list_object([_ACCOUNT]), 404, extension=True))
async def list_service_accounts(
    caller: Admin,
    project: Annotated[str | None, Query(max_length=200, description="Only of this one: its id or its name.")] = None,
) -> dict[str, Any]:
    """Every service account at once, by creation."""
    return list_object(
        [_account(each) for each in await service_accounts.list_service_accounts(caller.database, project)]
    )


def _key(key: KeyRecord, now_ms: int) -> Shape:
    return {
        **shapes.project_api_key(key),
        "project": {"id": key.project_id, "name": key.project},
        "status": key.status_at(now_ms),
        "revoked_at": seconds(key.revoked_at_ms),
    }


def _account(account: ServiceAccount) -> Shape:
    return {**shapes.service_account(account), "project_id": account.project_id}
