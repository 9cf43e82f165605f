"""API keys as they are written and shown."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.tables import api_keys, projects, users


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is written: never its secret. `models` is None for every model."""

    id: str
    user_id: str
    project_id: str
    name: str
    secret_hmac: bytes
    last_four: str
    models: tuple[str, ...] | None
    created_at_ms: int
    expires_at_ms: int | None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is shown."""

    id: str
    name: str
    user_id: str
    user: str
    project_id: str
    project: str
    last_four: str
    models: tuple[str, ...] | None
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    owner_disabled: bool

    def status_at(self, now_ms: int) -> str:
        """`revoked`, `expired`, `owner disabled` or `active`."""
        if self.revoked_at_ms is not None:
            return "revoked"
        if self.expires_at_ms is not None and self.expires_at_ms <= now_ms:
            return "expired"
        return "owner disabled" if self.owner_disabled else "active"


async def insert_key(connection: AsyncConnection, key: StoredKey) -> None:
    values = {field: getattr(key, field) for field in key.__slots__}
    values["models"] = sa.null() if key.models is None else list(key.models)
    await connection.execute(sa.insert(api_keys).values(values))


async def find_key(connection: AsyncConnection, key_id: str) -> KeyRecord | None:
    found = await _records(connection, _SHOWN.where(api_keys.c.id == key_id))
    return found[0] if found else None


async def list_keys(connection: AsyncConnection) -> list[KeyRecord]:
    """Newest first."""
    return await _records(connection, _SHOWN.order_by(api_keys.c.created_at_ms.desc(), api_keys.c.id))


async def revoke(connection: AsyncConnection, key_id: str, at_ms: int) -> None:
    """The first revocation stands."""
    fresh = sa.and_(api_keys.c.id == key_id, api_keys.c.revoked_at_ms.is_(None))
    await connection.execute(sa.update(api_keys).where(fresh).values(revoked_at_ms=at_ms))


_owned = api_keys.join(users, users.c.id == api_keys.c.user_id).join(projects, projects.c.id == api_keys.c.project_id)
_SHOWN = sa.select(
    *api_keys.c["id", "name", "user_id", "project_id", "last_four", "models", "created_at_ms", "expires_at_ms"],
    api_keys.c.revoked_at_ms,
    users.c.name.label("user"),
    projects.c.name.label("project"),
    users.c.disabled_at_ms.is_not(None).label("owner_disabled"),
).select_from(_owned)


async def _records(connection: AsyncConnection, select: sa.Select[Any]) -> list[KeyRecord]:
    rows = (dict(row) for row in (await connection.execute(select)).mappings())
    return [KeyRecord(**{**row, "models": None if row["models"] is None else tuple(row["models"])}) for row in rows]
