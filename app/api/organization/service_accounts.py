"""/organization/projects/{project_id}/service_accounts: non-persons that hold keys in a project."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from app.api.organization import resource_examples as examples
from app.api.organization import shapes
from app.api.organization.bodies import Body, Scopes, body, only_looks
from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.docs import described
from app.api.organization.pages import LIMIT, After, Limit, list_object, listed
from app.control import keys
from app.control import service_accounts as control
from app.control.service_accounts import WantedServiceAccount, WantedServiceAccountKey
from app.store.pages import Cursor

router = APIRouter(prefix="/projects/{project_id}/service_accounts", tags=["Project service accounts"])


class ServiceAccountCreate(Body, json_schema_extra={"example": {"name": "ci"}}):
    name: str
    create_service_account_only: bool | None = None
    expires_in_seconds: int | None = None


class ServiceAccountUpdate(Body, json_schema_extra={"example": {"name": "builder", "role": "owner"}}):
    name: str | None = None
    role: str | None = None


class ServiceAccountKeyCreate(Body, json_schema_extra={"example": {"name": "second", "expires_in_seconds": 7776000}}):
    name: str | None = None
    expires_in_seconds: int | None = None
    scopes: Scopes = None


@router.post("", **described(examples.SERVICE_ACCOUNT_CREATED, 400, 403, 404, 409, body=ServiceAccountCreate))
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


@router.get("", **described(list_object([examples.SERVICE_ACCOUNT]), 400, 404))
async def list_service_accounts(
    admin: Admin, project_id: str, after: After = None, limit: Limit = LIMIT
) -> dict[str, Any]:
    """By creation."""
    page = await control.page_of_service_accounts(admin.database, project_id, Cursor(after, limit))
    return listed(page, shapes.service_account)


@router.get("/{service_account_id}", **described(examples.SERVICE_ACCOUNT, 404))
async def retrieve_service_account(admin: Admin, project_id: str, service_account_id: str) -> dict[str, Any]:
    """One of them."""
    return shapes.service_account(await control.show_service_account(admin.database, project_id, service_account_id))


@router.post(
    "/{service_account_id}", **described(examples.SERVICE_ACCOUNT, 400, 403, 404, 409, body=ServiceAccountUpdate)
)
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


@router.delete("/{service_account_id}", **described(examples.gone(examples.SERVICE_ACCOUNT), 403, 404))
async def delete_service_account(admin: AdminWriter, project_id: str, service_account_id: str) -> dict[str, Any]:
    """For good, with its keys. What it used stays in every report, under its name."""
    account = await control.delete_service_account(admin.database, project_id, service_account_id)
    return shapes.deleted("organization.project.service_account", account.id)


@router.post(
    "/{service_account_id}/api_keys",
    **described(examples.SERVICE_ACCOUNT_KEY, 400, 403, 404, 409, body=ServiceAccountKeyCreate),
)
async def create_service_account_api_key(
    admin: AdminWriter,
    project_id: str,
    service_account_id: str,
    wanted: Annotated[ServiceAccountKeyCreate, Depends(body(ServiceAccountKeyCreate))],
) -> dict[str, Any]:
    """Another key for it; its `value` is shown this once. `scopes` as where keys are modified."""
    order = WantedServiceAccountKey(wanted.name, wanted.expires_in_seconds, only_looks(wanted.scopes))
    created = await control.create_key_of(admin.database, admin.gateway.pepper, project_id, service_account_id, order)
    return shapes.service_account_api_key(await keys.show_key(admin.database, created.id), created.key)
