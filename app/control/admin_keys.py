"""Admin API keys, which are valid for the administration API only: create, list, authenticate, revoke."""

from dataclasses import dataclass, replace
from typing import get_args

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.keys import CreatedKey, expiry_in_ms
from app.control.names import checked_name, quoted
from app.control.people import get_active_user
from app.control.pepper import Peppers, fingerprint
from app.control.secret_change import move_secret
from app.core import keys as secrets
from app.errors import InvalidValue, NotFound
from app.store import admin_keys as store
from app.store.admin_keys import AdminKeyRecord, AdminRole, StoredAdminKey
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.tables import admin_api_keys

ROLES: tuple[AdminRole, ...] = get_args(AdminRole)
_NO_HMAC = b"\0" * 32


@dataclass(frozen=True, slots=True)
class NewAdminKey:
    """Admin key to create. `user` is its owner by name or id; the key works as long as its owner. `role` is owner or reader; a
    reader may change nothing."""

    name: str
    role: str = "owner"
    user: str | None = None
    expires_in_s: int | None = None


async def authenticate(database: Database, peppers: Peppers, secret: str, now_ms: int) -> AdminKeyRecord | None:
    """Return the admin key with this secret, or None. It is read each time, so that a revoked key is refused at once."""
    key_id = secrets.admin_key_id(secret)
    if key_id is None:
        return None
    async with database.read() as connection:
        stored = await store.secret_hmac(connection, key_id)
        key = await store.find_admin_key(connection, key_id)
    under = peppers.under(secret, [stored or _NO_HMAC])
    if under is None or key is None or not key.usable_at(now_ms):
        return None
    if under != peppers.current:
        await move_secret(database, admin_api_keys, key_id, peppers, secret)
    return key


async def create_admin_key(database: Database, pepper: bytes, wanted: NewAdminKey) -> CreatedKey:
    """Create an admin key. Raises InvalidValue; NotFound or Conflict for its user."""
    name, role, now_ms = checked_name(wanted.name), _role(wanted.role), await database.now_ms()
    expires_at_ms = None if wanted.expires_in_s is None else expiry_in_ms(wanted.expires_in_s, now_ms)
    new = secrets.new_admin_key()
    async with database.write() as connection:
        user_id = None if wanted.user is None else (await get_active_user(connection, wanted.user)).id
        hmac = secrets.secret_hmac(pepper, new.secret)
        facts = (new.last_four, role, user_id, now_ms, expires_at_ms, fingerprint(pepper))
        stored = StoredAdminKey(new.id, name, hmac, *facts)
        await store.insert_admin_key(connection, stored)
        key = await get_admin_key(connection, new.id)
        await log_changes(connection, Change("admin_api_key.created", key.id, None, _facts(key)))
    return CreatedKey(new.id, new.secret)


async def revoke_admin_key(database: Database, key_id: str) -> AdminKeyRecord:
    """Revoke an admin key at once. Raises NotFound, also when it is revoked already."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        key = await get_admin_key(connection, key_id)
        await revoke_with(connection, key, now_ms)
    return replace(key, revoked_at_ms=now_ms)


async def revoke_with(connection: AsyncConnection, key: AdminKeyRecord, now_ms: int) -> None:
    """Revoke an admin key in the caller's transaction."""
    await store.revoke(connection, key.id, now_ms)
    await log_changes(connection, Change("admin_api_key.deleted", key.id, _facts(key), None))


async def get_admin_key(connection: AsyncConnection, key_id: str) -> AdminKeyRecord:
    """Return an admin key. Raises NotFound; its message does not repeat a secret that was given as the id."""
    key = await store.find_admin_key(connection, key_id)
    if key is None or key.revoked_at_ms is not None:
        named = "with that secret for an id; its id is like key_ and 12 characters"
        message = f"There is no admin API key {named if key_id.startswith('sk-') else quoted(key_id)}."
        raise NotFound(f"{message} `imagegate admin-keys list` shows them all.", param="key_id")
    return key


def _role(text: str) -> AdminRole:
    for role in ROLES:
        if role == text:
            return role
    raise InvalidValue(f"The role is owner or reader; not {quoted(text)}.", param="role")


def _facts(key: AdminKeyRecord) -> Facts:
    return {name: getattr(key, name) for name in ("name", "role", "user_id", "expires_at_ms")}
