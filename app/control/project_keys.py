"""API keys of one project: create them with their limits, list, change and delete them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.keys import (
    CreatedKey,
    KeyFacts,
    add_key,
    admit_owner,
    change_key,
    check_has_secret,
    check_usable,
    expiry_in_ms,
    get_key,
    known_models,
    revoke_with,
)
from app.control.limits import LimitChange, apply_limits, check_model
from app.control.names import checked_name
from app.control.people import get_active_user
from app.control.projects import get_active_project, get_project
from app.errors import Conflict, InvalidValue, NotFound
from app.store import keys as store
from app.store.engine import Database
from app.store.keys import KeyRecord
from app.store.pages import Cursor, Page


@dataclass(frozen=True, slots=True)
class NewProjectKey:
    """API key to create in a project. `user` is a person or service account by id, or a person by name; each limit is for one
    model or (None) for any. A `read_only` key can use no model."""

    user: str
    name: str | None = None
    expires_in_s: int | None = None
    models: Sequence[str] | None = None
    limits: Sequence[tuple[str | None, LimitChange]] = ()
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class KeyChange:
    """Change of a key; None keeps a field. An empty `models` allows every model. A `read_only` key can use no model until
    `read_only` is False; `models` alone does not change that."""

    name: str | None = None
    expires_in_s: int | None = None
    models: Sequence[str] | None = None
    read_only: bool | None = None


async def create_project_key(database: Database, pepper: bytes, project_id: str, wanted: NewProjectKey) -> CreatedKey:
    """Create a key and its limits in one write, so that it never works without them. Raises InvalidValue, NotFound, Conflict."""
    now_ms = await database.now_ms()
    name = None if wanted.name is None else checked_name(wanted.name)
    expires_at_ms = None if wanted.expires_in_s is None else expiry_in_ms(wanted.expires_in_s, now_ms)
    async with database.write() as connection:
        project = await get_active_project(connection, project_id)
        user = await get_active_user(connection, wanted.user)
        models = await _models(connection, wanted.models, wanted.read_only)
        facts = KeyFacts(name or user.name, models, now_ms, expires_at_ms)
        created = await add_key(connection, pepper, user, project, facts)
        for model, change in wanted.limits:
            await check_model(connection, model)
            await apply_limits(connection, "key", created.id, model, [change])
    return created


async def page_of_project_keys(
    database: Database, project_id: str, cursor: Cursor, owner_has_access: bool | None = None
) -> Page[KeyRecord]:
    """List keys of a project that are not revoked, by creation. Raises NotFound, and InvalidValue for the cursor."""
    async with database.read() as connection:
        project = await get_project(connection, project_id)
        return await store.page_of_keys(connection, project.id, cursor, owner_has_access)


async def change_project_key(database: Database, project_id: str, key_id: str, change: KeyChange) -> KeyRecord:
    """Change a key of a project. Raises InvalidValue; NotFound; Conflict for an expired key."""
    now_ms = await database.now_ms()
    values: dict[str, object] = {}
    if change.name is not None:
        values["name"] = checked_name(change.name)
    if change.expires_in_s is not None:
        values["expires_at_ms"] = expiry_in_ms(change.expires_in_s, now_ms)
    async with database.write() as connection:
        key = await get_project_key(connection, project_id, key_id)
        check_usable(key, now_ms)
        if change.models is not None or change.read_only is not None:
            values["models"] = await _changed_models(connection, key, change)
        return await change_key(connection, key, **values) if values else key


async def move_project_key(
    database: Database, project_id: str, key_id: str, to_project: str | None, to_user: str | None
) -> KeyRecord:
    """Move a key to another project, another owner or both, by name or id. The secret and the key's own limits stay. From now on
    the limits and models of the new project and owner hold; what was requested before stays booked where it was. A person becomes a
    member of the project.

    Raises NotFound; Conflict for an archived project, a disabled user, an unusable key, and a service account of another project.
    """
    now_ms = await database.now_ms()
    async with database.write() as connection:
        key = await get_project_key(connection, project_id, key_id)
        check_usable(key, now_ms)
        check_has_secret(key, "moved")
        project = await get_active_project(connection, to_project or key.project_id)
        user = await get_active_user(connection, to_user or key.user_id)
        await admit_owner(connection, user, project, now_ms)
        return await change_key(connection, key, project_id=project.id, user_id=user.id)


async def _changed_models(connection: AsyncConnection, key: KeyRecord, change: KeyChange) -> tuple[str, ...] | None:
    """Return the models after a change. Raises InvalidValue, and Conflict where a list of models would be lost unsaid.

    A read-only key has an empty list of models. A client that sends this list back as it read it keeps the key read-only.
    """
    if key.models == () and change.read_only is None:
        if change.models:
            message = f"The key {key.id} only looks; send scopes: [] with it to let it use these models."
            raise Conflict(message, param="models")
        return ()
    if change.models is not None:
        return await _models(connection, change.models or None, bool(change.read_only))
    if change.read_only and key.models:
        message = f"The key {key.id} has a list of models, which would be forgotten; send models: [] with it to say so."
        raise Conflict(message, param="scopes")
    if change.read_only:
        return ()
    return key.models or None


async def _models(connection: AsyncConnection, wanted: Sequence[str] | None, read_only: bool) -> tuple[str, ...] | None:
    """Return the models to store: None for all of the catalog, empty for a read-only key. Raises InvalidValue."""
    if read_only and wanted:
        raise InvalidValue("A key that only looks has no models to use; leave out scopes or models.", param="models")
    return () if read_only else await known_models(connection, wanted)


async def delete_project_key(database: Database, project_id: str, key_id: str) -> KeyRecord:
    """Revoke a key: within a second no replica accepts it. Raises NotFound, also when it is revoked already."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        key = await get_project_key(connection, project_id, key_id)
        check_has_secret(key, "revoked")
        await revoke_with(connection, key, now_ms)
    return key


async def get_project_key(connection: AsyncConnection, project_id: str, key_id: str) -> KeyRecord:
    """Return a key that is not revoked. Raises NotFound, also for a key of another project."""
    project = await get_project(connection, project_id)
    key = await get_key(connection, key_id)
    if key.project_id != project.id or key.revoked_at_ms is not None:
        raise NotFound(f"There is no key {key.id} in this project.", param="key")
    return key
