"""Admin API keys as they are written and shown."""

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.pages import Cursor, Page, read_page
from app.store.tables import admin_api_keys, users

AdminRole = Literal["owner", "reader"]


@dataclass(frozen=True, slots=True)
class StoredAdminKey:
    """A row to insert: never the secret. `user_id` is the owner, None for nobody's in particular."""

    id: str
    name: str
    secret_hmac: bytes
    last_four: str
    role: AdminRole
    user_id: str | None
    created_at_ms: int
    expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class AdminKeyRecord:
    """An admin key as lists show it, with the owner's name where there is one."""

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
        """Neither revoked nor expired, and its owner, where it has one, is active."""
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
    """Revoked ones too."""
    row = (await connection.execute(_SHOWN.where(admin_api_keys.c.id == key_id))).mappings().one_or_none()
    return None if row is None else _record(row)


async def page_of_admin_keys(connection: AsyncConnection, cursor: Cursor) -> Page[AdminKeyRecord]:
    """Admin keys that are not revoked, by creation."""
    select = _SHOWN.where(admin_api_keys.c.revoked_at_ms.is_(None))
    order = (admin_api_keys.c.created_at_ms, admin_api_keys.c.id)
    return await read_page(connection, select, cursor, _record, order)


async def revoke(connection: AsyncConnection, key_id: str, at_ms: int) -> None:
    """The first revocation stands."""
    fresh = sa.and_(admin_api_keys.c.id == key_id, admin_api_keys.c.revoked_at_ms.is_(None))
    await connection.execute(sa.update(admin_api_keys).where(fresh).values(revoked_at_ms=at_ms))


async def of_user(connection: AsyncConnection, user_id: str) -> list[AdminKeyRecord]:
    """A user's admin keys that are not revoked."""
    mine = sa.and_(admin_api_keys.c.user_id == user_id, admin_api_keys.c.revoked_at_ms.is_(None))
    return [_record(row) for row in (await connection.execute(_SHOWN.where(mine))).mappings()]


_SHOWN: sa.Select[Any] = sa.select(
    *admin_api_keys.c["id", "name", "last_four", "role", "created_at_ms", "expires_at_ms", "revoked_at_ms", "user_id"],
    users.c.name.label("owner_name"),
    users.c.email.label("owner_email"),
    users.c.created_at_ms.label("owner_created_at_ms"),
    sa.or_(users.c.disabled_at_ms.is_not(None), users.c.deleted_at_ms.is_not(None)).label("owner_gone"),
).select_from(admin_api_keys.outerjoin(users, users.c.id == admin_api_keys.c.user_id))


def _record(row: sa.RowMapping) -> AdminKeyRecord:
    return AdminKeyRecord(**{**row, "owner_gone": bool(row["owner_gone"])})
