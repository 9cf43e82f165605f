"""Service accounts, which hold keys in a project and are no persons: of one project, and of all."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.organization.deps import Admin, AdminWriter
from app.api.organization.reading import LIMIT, After, Body, Limit
from app.api.schemas.base import EXTENSION, DeletedOut, ListOut
from app.api.schemas.keys import ServiceAccountKeyCreate, ServiceAccountKeyCreated, is_read_only, scopes_of
from app.api.schemas.people import (
    ServiceAccountCreate,
    ServiceAccountCreated,
    ServiceAccountOut,
    ServiceAccountUpdate,
)
from app.control import keys, service_accounts
from app.control.keys import CreatedKey
from app.control.service_accounts import NewServiceAccount, NewServiceAccountKey
from app.store.engine import Database
from app.store.pages import Cursor

router = APIRouter(tags=["Service accounts"])
IN_PROJECT = "/projects/{project_id}/service_accounts"


@router.post(IN_PROJECT)
async def create_service_account(
    caller: AdminWriter, project_id: str, body: Body[ServiceAccountCreate]
) -> ServiceAccountCreated:
    """Create a service account with a first key; only this answer has its `value`. With `create_service_account_only` it has
    neither key nor role."""
    new = NewServiceAccount(body.name, bool(body.create_service_account_only), body.expires_in_seconds)
    account, created = await service_accounts.create_service_account(caller.database, caller.pepper, project_id, new)
    key = None if created is None else await _created(caller.database, created)
    return ServiceAccountCreated.of(account, api_key=key)


@router.get(IN_PROJECT)
async def list_service_accounts(
    caller: Admin, project_id: str, after: After = None, limit: Limit = LIMIT
) -> ListOut[ServiceAccountOut]:
    """List the service accounts of a project by creation."""
    page = await service_accounts.page_of_service_accounts(caller.database, project_id, Cursor(after, limit))
    return ListOut[ServiceAccountOut].of_page(page, ServiceAccountOut.of)


@router.get("/service_accounts", openapi_extra=EXTENSION)
async def list_all_service_accounts(
    caller: Admin,
    after: After = None,
    limit: Limit = LIMIT,
    project: Annotated[str | None, Query(max_length=200, description="Id or name of a project.")] = None,
) -> ListOut[ServiceAccountOut]:
    """List all service accounts by creation, with their `project_id`."""
    page = await service_accounts.page_of_service_accounts(caller.database, project, Cursor(after, limit))
    return ListOut[ServiceAccountOut].of_page(page, ServiceAccountOut.of_all)


@router.get(IN_PROJECT + "/{service_account_id}")
async def retrieve_service_account(caller: Admin, project_id: str, service_account_id: str) -> ServiceAccountOut:
    """Retrieve a service account."""
    account = await service_accounts.show_service_account(caller.database, project_id, service_account_id)
    return ServiceAccountOut.of(account)


@router.post(IN_PROJECT + "/{service_account_id}")
async def modify_service_account(
    caller: AdminWriter, project_id: str, service_account_id: str, body: Body[ServiceAccountUpdate]
) -> ServiceAccountOut:
    """Change the name of a service account, or its role in the project: owner or member."""
    changed = await service_accounts.change_service_account(
        caller.database, project_id, service_account_id, body.name, body.role
    )
    return ServiceAccountOut.of(changed)


@router.delete(IN_PROJECT + "/{service_account_id}")
async def delete_service_account(caller: AdminWriter, project_id: str, service_account_id: str) -> DeletedOut:
    """Delete a service account for good, with its keys. Reports keep its usage and name."""
    account = await service_accounts.delete_service_account(caller.database, project_id, service_account_id)
    return DeletedOut.of("organization.project.service_account", account.id)


@router.post(IN_PROJECT + "/{service_account_id}/api_keys")
async def create_service_account_api_key(
    caller: AdminWriter, project_id: str, service_account_id: str, body: Body[ServiceAccountKeyCreate]
) -> ServiceAccountKeyCreated:
    """Create another key of a service account. Only this answer has its `value`. `scopes` are as in modifying a key."""
    new = NewServiceAccountKey(body.name, body.expires_in_seconds, is_read_only(body.scopes))
    created = await service_accounts.create_key_of(caller.database, caller.pepper, project_id, service_account_id, new)
    return await _created(caller.database, created)


async def _created(database: Database, created: CreatedKey) -> ServiceAccountKeyCreated:
    key = await database.ask(keys.get_key, created.id)
    return ServiceAccountKeyCreated.from_record(key, value=created.key, scopes=scopes_of(key))
