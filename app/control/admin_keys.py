"""Admin API keys: made once, shown once, for the administration API and nothing else."""

from dataclasses import dataclass, replace
from typing import get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.keys import CreatedKey, expiry_in_ms
from app.control.names import checked_name, shown
from app.control.people import active_user
from app.core import keys as secrets
from app.errors import InvalidValue, NotFound
from app.store import admin_keys as store
from app.store.admin_keys import AdminKeyRecord, AdminRole, StoredAdminKey
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.pages import Cursor, Page

__all__ = ["AdminKeyRecord", "NewAdminKey", "authenticate", "create_admin_key", "revoke_admin_key"]

ROLES: tuple[AdminRole, ...] = get_args(AdminRole)
_NOBODY = b"\0" * 32


@dataclass(frozen=True, slots=True)
class NewAdminKey:
    """`user` is a name or id; a key that has one stops working with its user. A reader's key changes nothing."""

    name: str
    role: str = "owner"
    user: str | None = None
    expires_in_s: int | None = None


async def authenticate(database: Database, pepper: bytes, secret: str, now_ms: int) -> AdminKeyRecord | None:
    """The usable admin key with this secret, read each time: a revoked one is refused at once."""
    key_id = secrets.admin_key_id(secret)
    if key_id is None:
        return None
    async with database.read() as connection:
        stored = await store.secret_hmac(connection, key_id)
        key = await store.find_admin_key(connection, key_id)
    right = secrets.matches(pepper, secret, stored or _NOBODY)
    return key if right and key is not None and key.usable_at(now_ms) else None


async def create_admin_key(database: Database, pepper: bytes, wanted: NewAdminKey) -> CreatedKey:
    """Raises InvalidValue, and NotFound or Conflict for its user."""
    name, role, now_ms = checked_name(wanted.name), _role(wanted.role), await database.now_ms()
    expires_at_ms = None if wanted.expires_in_s is None else expiry_in_ms(wanted.expires_in_s, now_ms)
    new = secrets.new_admin_key()
    async with database.write() as connection:
        user_id = None if wanted.user is None else (await active_user(connection, wanted.user)).id
        hmac = secrets.secret_hmac(pepper, new.secret)
        stored = StoredAdminKey(new.id, name, hmac, new.last_four, role, user_id, now_ms, expires_at_ms)
        await store.insert_admin_key(connection, stored)
        key = await the_admin_key(connection, new.id)
        await log_changes(connection, Change("admin_api_key.created", key.id, None, _facts(key)))
    return CreatedKey(new.id, new.secret)


async def list_admin_keys(database: Database, cursor: Cursor) -> Page[AdminKeyRecord]:
    """Admin keys by creation, without revoked ones. Raises InvalidValue for the cursor."""
    async with database.read() as connection:
        return await store.page_of_admin_keys(connection, cursor)


async def show_admin_key(database: Database, key_id: str) -> AdminKeyRecord:
    """Raises NotFound, also for a revoked one."""
    async with database.read() as connection:
        return await the_admin_key(connection, key_id)


async def revoke_admin_key(database: Database, key_id: str) -> AdminKeyRecord:
    """Revoke an admin key at once. Raises NotFound, also when it is revoked already."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        key = await the_admin_key(connection, key_id)
        await revoke_with(connection, key, now_ms)
    return replace(key, revoked_at_ms=now_ms)


async def revoke_with(connection: AsyncConnection, key: AdminKeyRecord, now_ms: int) -> None:
    """Revoke an admin key as part of a larger change."""
    await store.revoke(connection, key.id, now_ms)
    await log_changes(connection, Change("admin_api_key.deleted", key.id, _facts(key), None))


async def the_admin_key(connection: AsyncConnection, key_id: str) -> AdminKeyRecord:
    """Raises NotFound, and never repeats a whole secret that was given for an id."""
    key = await store.find_admin_key(connection, key_id)
    if key is None or key.revoked_at_ms is not None:
        named = "with that secret for an id; its id is like key_ and 12 characters"
        message = f"There is no admin API key {named if key_id.startswith('sk-') else shown(key_id)}."
        raise NotFound(f"{message} `imagegate admin-keys list` shows them all.", param="key_id")
    return key


def _role(text: str) -> AdminRole:
    for role in ROLES:
        if role == text:
            return role
    raise InvalidValue(f"The role is owner or reader; not {shown(text)}.", param="role")


def _facts(key: AdminKeyRecord) -> Facts:
    return {name: getattr(key, name) for name in ("name", "role", "user_id", "expires_at_ms")}
