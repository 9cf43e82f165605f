"""API keys in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.organization import UserKind
from app.store.pages import Cursor, Page, read_page
from app.store.tables import api_keys, limits, project_users, projects, requests, users


@dataclass(frozen=True, slots=True)
class StoredKey:
    """Row of a new key, with an HMAC of its secret, never the secret. `models` is None for every model."""

    id: str
    user_id: str
    project_id: str
    name: str
    secret_hmac: bytes
    last_four: str
    models: tuple[str, ...] | None
    created_at_ms: int
    expires_at_ms: int | None
    pepper_fingerprint: str | None = None
    """Fingerprint of the secret that the HMAC was made with; None for a key without a secret."""


KeyStatus = Literal["active", "revoked", "expired", "owner disabled", "owner not in project", "project archived"]


@dataclass(frozen=True, slots=True)
class KeyConditions:
    """Conditions of a list of keys; None leaves one out. `status` is that at `now_ms`. `unused_since_ms` selects keys that were
    there at this instant and have not been used since, `words` those with this text in their name, id, last four characters,
    owner or owner's address. `without_limit` selects those for which no limit of money or images holds, their own or a wider
    one."""

    user_ids: Sequence[str] | None = None
    project_id: str | None = None
    status: KeyStatus | None = None
    unused_since_ms: int | None = None
    now_ms: int = 0
    words: str | None = None
    without_limit: bool = False


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Key with the names of its owner and project. `owner_role` is its owner's role in the project, None for a non-member.

    The secret before the last rotation works until `previous_until_ms`.
    """

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
    previous_until_ms: int | None
    last_used_at_ms: int | None
    user_kind: UserKind
    user_email: str | None
    user_created_at_ms: int
    owner_disabled: bool
    owner_role: str | None
    project_archived: bool

    def status_at(self, now_ms: int) -> KeyStatus:
        """Return the status at an instant, the first that is true of those in the order below."""
        if self.revoked_at_ms is not None:
            return "revoked"
        if self.expires_at_ms is not None and self.expires_at_ms <= now_ms:
            return "expired"
        if self.owner_disabled:
            return "owner disabled"
        if self.owner_role is None:
            return "owner not in project"
        return "project archived" if self.project_archived else "active"

    @property
    def has_secret(self) -> bool:
        """False for a Console key, with which only its owner buys, in the console."""
        return bool(self.last_four)

    @property
    def owner_has_access(self) -> bool:
        """True when the key's owner may act in its project now."""
        return not self.owner_disabled and self.owner_role is not None and not self.project_archived


async def insert_key(connection: AsyncConnection, key: StoredKey) -> None:
    """Insert an API key as it is to be stored."""
    values = {field: getattr(key, field) for field in key.__slots__}
    values["models"] = sa.null() if key.models is None else list(key.models)
    await connection.execute(sa.insert(api_keys).values(values))


async def find_key(connection: AsyncConnection, key_id: str) -> KeyRecord | None:
    found = await _records(connection, _SELECT.where(api_keys.c.id == key_id))
    return found[0] if found else None


async def page_of_all_keys(connection: AsyncConnection, cursor: Cursor, wanted: KeyConditions) -> Page[KeyRecord]:
    """List keys of every project that meet the conditions, including revoked ones, by creation."""
    return await read_page(connection, _SELECT.where(*_conditions(wanted)), cursor, _record, _BY_CREATION)


def _conditions(wanted: KeyConditions) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.user_ids is not None:
        conditions.append(api_keys.c.user_id.in_(wanted.user_ids))
    if wanted.project_id is not None:
        conditions.append(api_keys.c.project_id == wanted.project_id)
    if wanted.status is not None:
        is_expired = api_keys.c.expires_at_ms <= wanted.now_ms
        conditions.append(sa.case((_REVOKED, "revoked"), (is_expired, "expired"), *_OTHERWISE) == wanted.status)
    if wanted.unused_since_ms is not None:
        used = sa.exists().where(
            requests.c.api_key_id == api_keys.c.id, requests.c.reserved_at_ms >= wanted.unused_since_ms
        )
        conditions += [api_keys.c.created_at_ms <= wanted.unused_since_ms, ~used]
    if wanted.words is not None:
        columns = (api_keys.c.name, api_keys.c.id, api_keys.c.last_four, users.c.name, users.c.email)
        conditions.append(sa.or_(*(column.icontains(wanted.words, autoescape=True) for column in columns)))
    if wanted.without_limit:
        conditions.append(~_IS_LIMITED)
    return conditions


async def count_keys(connection: AsyncConnection, wanted: KeyConditions) -> int:
    """Count the keys of every project that meet the conditions."""
    select = sa.select(sa.func.count()).select_from(_OWNED).where(*_conditions(wanted))
    return int((await connection.execute(select)).scalar_one())


async def page_of_keys(
    connection: AsyncConnection, project_id: str, cursor: Cursor, owner_has_access: bool | None = None
) -> Page[KeyRecord]:
    """List keys of a project that are not revoked, by creation. `owner_has_access` selects by KeyRecord.owner_has_access."""
    select = _SELECT.where(api_keys.c.project_id == project_id, api_keys.c.revoked_at_ms.is_(None))
    if owner_has_access is not None:
        select = select.where(_HAS_ACCESS if owner_has_access else sa.not_(_HAS_ACCESS))
    return await read_page(connection, select, cursor, _record, _BY_CREATION)


async def count_active_keys(
    connection: AsyncConnection, now_ms: int, by: Literal["user_id", "project_id"], ids: Sequence[str]
) -> dict[str, int]:
    """Count the keys with the status `active` of each of these users or projects, without reading requests."""
    active = _conditions(KeyConditions(status="active", now_ms=now_ms))
    select = sa.select(api_keys.c[by], sa.func.count()).select_from(_OWNED).where(api_keys.c[by].in_(ids), *active)
    return {row[0]: row[1] for row in await connection.execute(select.group_by(api_keys.c[by]))}


async def keys_of_user(connection: AsyncConnection, user_id: str) -> list[KeyRecord]:
    """List keys of a user or service account that are not revoked."""
    return await _records(connection, _SELECT.where(api_keys.c.user_id == user_id, api_keys.c.revoked_at_ms.is_(None)))


async def update_key(connection: AsyncConnection, key_id: str, **values: Any) -> None:
    if "models" in values:
        values["models"] = sa.null() if values["models"] is None else list(values["models"])
    await connection.execute(sa.update(api_keys).where(api_keys.c.id == key_id).values(values))


async def rotate(
    connection: AsyncConnection,
    key_id: str,
    secret_hmac: bytes,
    last_four: str,
    previous_until_ms: int,
    pepper_fingerprint: str,
) -> None:
    """Replace the secret. The current one works until `previous_until_ms`; one before it stops working now."""
    values = {
        "previous_hmac": api_keys.c.secret_hmac,
        "previous_until_ms": previous_until_ms,
        "secret_hmac": secret_hmac,
        "last_four": last_four,
        "pepper_fingerprint": pepper_fingerprint,
    }
    await update_key(connection, key_id, **values)


async def revoke(connection: AsyncConnection, key_id: str, at_ms: int) -> None:
    """Revoke a key. A key that is already revoked keeps its time."""
    not_revoked = sa.and_(api_keys.c.id == key_id, api_keys.c.revoked_at_ms.is_(None))
    await connection.execute(sa.update(api_keys).where(not_revoked).values(revoked_at_ms=at_ms))


_BY_CREATION = (api_keys.c.created_at_ms, api_keys.c.id)
_MEMBERSHIP = sa.and_(
    project_users.c.project_id == api_keys.c.project_id, project_users.c.user_id == api_keys.c.user_id
)
_OWNED = (
    api_keys.join(users, users.c.id == api_keys.c.user_id)
    .join(projects, projects.c.id == api_keys.c.project_id)
    .outerjoin(project_users, _MEMBERSHIP)
)
_DISABLED = sa.or_(users.c.disabled_at_ms.is_not(None), users.c.deleted_at_ms.is_not(None))
_REVOKED = api_keys.c.revoked_at_ms.is_not(None)
_OTHERWISE = (
    (_DISABLED, "owner disabled"),
    (project_users.c.role.is_(None), "owner not in project"),
    (projects.c.archived_at_ms.is_not(None), "project archived"),
    (sa.true(), "active"),
)
"""Statuses of a key that is neither revoked nor expired, the first that is true."""
_HAS_ACCESS = sa.and_(sa.not_(_DISABLED), project_users.c.role.is_not(None), projects.c.archived_at_ms.is_(None))
_IS_LIMITED = sa.exists().where(
    limits.c.amount.is_not(None),
    limits.c.unit.in_(("micros", "images")),
    limits.c.interval != "minute",
    sa.or_(
        limits.c.scope == "organization",
        sa.and_(limits.c.scope == "project", limits.c.scope_id == api_keys.c.project_id),
        sa.and_(limits.c.scope == "user", limits.c.scope_id == api_keys.c.user_id),
        sa.and_(limits.c.scope == "key", limits.c.scope_id == api_keys.c.id),
    ),
)
_LAST_USED = (
    sa.select(sa.func.max(requests.c.reserved_at_ms)).where(requests.c.api_key_id == api_keys.c.id).scalar_subquery()
)
_SELECT = sa.select(
    *api_keys.c["id", "name", "user_id", "project_id", "last_four", "models", "created_at_ms", "expires_at_ms"],
    *api_keys.c["revoked_at_ms", "previous_until_ms"],
    users.c.name.label("user"),
    users.c.kind.label("user_kind"),
    users.c.email.label("user_email"),
    users.c.created_at_ms.label("user_created_at_ms"),
    projects.c.name.label("project"),
    projects.c.archived_at_ms.is_not(None).label("project_archived"),
    _DISABLED.label("owner_disabled"),
    project_users.c.role.label("owner_role"),
    _LAST_USED.label("last_used_at_ms"),
).select_from(_OWNED)


async def _records(connection: AsyncConnection, select: sa.Select[Any]) -> list[KeyRecord]:
    return [_record(row) for row in (await connection.execute(select)).mappings()]


def _record(row: sa.RowMapping) -> KeyRecord:
    flags = {name: bool(row[name]) for name in ("owner_disabled", "project_archived")}
    return KeyRecord(**{**row, **flags, "models": None if row["models"] is None else tuple(row["models"])})
