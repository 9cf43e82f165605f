"""/organization/projects/{project_id}/service_accounts: non-persons that hold keys in a project."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from app.api.organization import shapes
from app.api.organization.bodies import Body, Scopes, body, takes
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.pages import After, Limit, listed
from app.control import keys
from app.control import service_accounts as control
from app.control.service_accounts import WantedServiceAccount
from app.store.pages import Cursor

router = APIRouter(prefix="/projects/{project_id}/service_accounts", tags=["Project service accounts"])


class ServiceAccountCreate(Body):
    name: str
    create_service_account_only: bool | None = None
    expires_in_seconds: int | None = None


class ServiceAccountUpdate(Body):
    name: str | None = None
    role: str | None = None


class ServiceAccountKeyCreate(Body):
    name: str | None = None
    expires_in_seconds: int | None = None
    scopes: Scopes = None


@router.post("", **takes(ServiceAccountCreate))
async def create_service_account(
    admin: AdminWriter, project_id: str, wanted: Annotated[ServiceAccountCreate, Depends(body(ServiceAccountCreate))]
) -> dict[str, Any]:
    """With a first key, whose `value` is shown this once; with `create_service_account_only` without key and role."""
    order = WantedServiceAccount(wanted.name, bool(wanted.create_service_account_only), wanted.expires_in_seconds)
    account, created = await control.create_service_account(admin.database, admin.gateway.pepper, project_id, order)
    shape = {**shapes.service_account(account), "api_key": None}
    if created is not None:
        key = await keys.show_key(admin.database, created.id)
        shape["api_key"] = shapes.service_account_api_key(key, created.key)
    return shape


@router.get("")
async def list_service_accounts(
    admin: Admin, project_id: str, after: After = None, limit: Limit = 20
) -> dict[str, Any]:
    """By creation."""
    page = await control.page_of_service_accounts(admin.database, project_id, Cursor(after, limit))
    return listed(page, shapes.service_account)


@router.get("/{service_account_id}")
async def retrieve_service_account(admin: Admin, project_id: str, service_account_id: str) -> dict[str, Any]:
    """One of them."""
    return shapes.service_account(await control.show_service_account(admin.database, project_id, service_account_id))


@router.post("/{service_account_id}", **takes(ServiceAccountUpdate))
async def modify_service_account(
    admin: AdminWriter,
    project_id: str,
    service_account_id: str,
    wanted: Annotated[ServiceAccountUpdate, Depends(body(ServiceAccountUpdate))],
) -> dict[str, Any]:
    """Another name, or another role in the project: owner or member."""
    changed = await control.change_service_account(
        admin.database, project_id, service_account_id, wanted.name, wanted.role
    )
    return shapes.service_account(changed)


@router.delete("/{service_account_id}")
async def delete_service_account(admin: AdminWriter, project_id: str, service_account_id: str) -> dict[str, Any]:
    """For good, with its keys. What it used stays in every report, under its name."""
    account = await control.delete_service_account(admin.database, project_id, service_account_id)
    return shapes.deleted("organization.project.service_account", account.id)


@router.post("/{service_account_id}/api_keys", **takes(ServiceAccountKeyCreate))
async def create_service_account_api_key(
    admin: AdminWriter,
    project_id: str,
    service_account_id: str,
    wanted: Annotated[ServiceAccountKeyCreate, Depends(body(ServiceAccountKeyCreate))],
) -> dict[str, Any]:
    """Another key for it; its `value` is shown this once."""
    created = await control.create_key_of(
        admin.database, admin.gateway.pepper, project_id, service_account_id, wanted.name, wanted.expires_in_seconds
    )
    return shapes.service_account_api_key(await keys.show_key(admin.database, created.id), created.key)
