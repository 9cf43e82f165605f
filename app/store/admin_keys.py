"""Admin API keys in the database."""

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.pages import Cursor, Page, read_page
from app.store.tables import admin_api_keys, users

AdminRole = Literal["owner", "reader"]


@dataclass(frozen=True, slots=True)
class StoredAdminKey:
    """Row of a new admin key, with an HMAC of its secret, never the secret. `user_id` is None for a key without an owner."""

    id: str
    name: str
    secret_hmac: bytes
    last_four: str
    role: AdminRole
    user_id: str | None
    created_at_ms: int
    expires_at_ms: int | None
    pepper_fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class AdminKeyRecord:
    """Admin key with the name of its owner, if it has one."""

    id: str
    name: str
    last_four: str
    role: AdminRole
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    user_id: str | None
    owner_name: str | None
    owner_email: str | None
    owner_created_at_ms: int | None
    owner_gone: bool

    def usable_at(self, now_ms: int) -> bool:
        """Return True when neither revoked nor expired, and its owner, if any, is active."""
        expired = self.expires_at_ms is not None and self.expires_at_ms <= now_ms
        return not (self.revoked_at_ms is not None or expired or self.owner_gone)


async def insert_admin_key(connection: AsyncConnection, key: StoredAdminKey) -> None:
    values = {field: getattr(key, field) for field in key.__slots__}
    await connection.execute(sa.insert(admin_api_keys).values(values))


async def secret_hmac(connection: AsyncConnection, key_id: str) -> bytes | None:
    select = sa.select(admin_api_keys.c.secret_hmac).where(admin_api_keys.c.id == key_id)
    found: bytes | None = (await connection.execute(select)).scalar_one_or_none()
    return found


async def find_admin_key(connection: AsyncConnection, key_id: str) -> AdminKeyRecord | None:
    """Find an admin key, even a revoked one."""
    row = (await connection.execute(_SELECT.where(admin_api_keys.c.id == key_id))).mappings().one_or_none()
    return None if row is None else _record(row)


async def page_of_admin_keys(connection: AsyncConnection, cursor: Cursor) -> Page[AdminKeyRecord]:
    """Read a page of the admin keys that are not revoked, by creation."""
    select = _SELECT.where(admin_api_keys.c.revoked_at_ms.is_(None))
    order = (admin_api_keys.c.created_at_ms, admin_api_keys.c.id)
    return await read_page(connection, select, cursor, _record, order)


async def revoke(connection: AsyncConnection, key_id: str, at_ms: int) -> None:
    """Revoke an admin key. A key that is already revoked keeps its time."""
    not_revoked = sa.and_(admin_api_keys.c.id == key_id, admin_api_keys.c.revoked_at_ms.is_(None))
    await connection.execute(sa.update(admin_api_keys).where(not_revoked).values(revoked_at_ms=at_ms))


async def of_user(connection: AsyncConnection, user_id: str) -> list[AdminKeyRecord]:
    """List a user's admin keys that are not revoked."""
    active = sa.and_(admin_api_keys.c.user_id == user_id, admin_api_keys.c.revoked_at_ms.is_(None))
    return [_record(row) for row in (await connection.execute(_SELECT.where(active))).mappings()]


_SELECT: sa.Select[Any] = sa.select(
    *admin_api_keys.c["id", "name", "last_four", "role", "created_at_ms", "expires_at_ms", "revoked_at_ms", "user_id"],
    users.c.name.label("owner_name"),
    users.c.email.label("owner_email"),
    users.c.created_at_ms.label("owner_created_at_ms"),
    sa.or_(users.c.disabled_at_ms.is_not(None), users.c.deleted_at_ms.is_not(None)).label("owner_gone"),
).select_from(admin_api_keys.outerjoin(users, users.c.id == admin_api_keys.c.user_id))


def _record(row: sa.RowMapping) -> AdminKeyRecord:
    return AdminKeyRecord(**{**row, "owner_gone": bool(row["owner_gone"])})
