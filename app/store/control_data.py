"""Keys, limits and prices for admission, cached for half a second.

Answers come from memory while the revision is unchanged; the revision is read again after half a second. A reservation checks
it once more and is refused on an older revision, so a revoked key buys nothing even within that half second.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.catalog import Catalog
from app.core.grants import Grant, ModelRule
from app.core.limits import Limit
from app.errors import StoreUnavailable
from app.store.engine import AWAY, Database
from app.store.prices import read_catalog
from app.store.tables import api_keys, limits, model_permissions, organization, project_users, projects, users

REVISION_MAX_AGE_S = 0.5
FAILURE_PAUSE_S = 1.0
GRANTS_MAX = 20_000
T = TypeVar("T")


class ControlData:
    """Cache of grants and the catalog. Raises StoreUnavailable when the revision was last read more than half a second
    ago and the database does not answer."""

    def __init__(self, database: Database):
        self._database = database
        self._lock = asyncio.Lock()
        self._revision = -1
        self._checked_s = float("-inf")
        self._failed_s = float("-inf")
        self._key_ids: frozenset[str] | None = None
        self._grants: dict[str, Grant | None] = {}
        self._catalog: Catalog | None = None

    async def grant(self, key_id: str) -> Grant | None:
        """Return the grant of a key; None when the key does not exist.

        Guessed ids are compared with the ids in memory, so that they cost no reading of the database and a known key never waits
        for them. Before that the revision is read, so that a key made just now is found; callers that wait share one reading.
        """
        await self._refresh()
        if key_id in self._grants:
            return self._grants[key_id]
        if self._key_ids is not None and key_id not in self._key_ids:
            await self._refresh(max_age_s=0)
        if self._key_ids is not None and key_id not in self._key_ids:
            return None
        async with self._lock:
            if key_id in self._grants:  # Another task read it while this one waited.
                return self._grants[key_id]
            return await self._load(lambda connection: self._load_grant(connection, key_id))

    async def catalog(self) -> Catalog:
        await self._refresh()
        if (cached := self._catalog) is not None:
            return cached
        async with self._lock:
            cached = self._catalog
            return cached if cached is not None else await self._load(self._load_catalog)

    def forget(self, key_id: str) -> None:
        """Read the grant of a key again before the next answer."""
        self._grants.pop(key_id, None)

    def expire(self) -> None:
        """Read the revision again before the next answer."""
        self._checked_s = float("-inf")

    async def _refresh(self, max_age_s: float = REVISION_MAX_AGE_S) -> None:
        """Read the revision again unless a reading began at most `max_age_s` before this call."""
        oldest_s = time.monotonic() - max_age_s
        if self._checked_s > oldest_s:
            return
        async with self._lock:
            if self._checked_s > oldest_s:  # Another task read it while this one waited.
                return
            asked_s = time.monotonic()
            # After a recent failure fail at once, or each waiting task would wait for a timeout of its own.
            if asked_s - self._failed_s < FAILURE_PAUSE_S:
                raise StoreUnavailable(AWAY)
            try:
                self._adopt(await self._read_revision())
            except StoreUnavailable:
                self._failed_s = time.monotonic()
                raise
            self._checked_s = asked_s

    async def _read_revision(self) -> int:
        return await self._database.ask(_revision)

    async def _load(self, load: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `load` at the newest revision and drop what older ones left in the cache. The caller holds the lock."""
        async with self._database.read() as connection:
            self._adopt(await _revision(connection))
            return await load(connection)

    def _adopt(self, revision: int) -> None:
        if revision != self._revision:
            self._revision, self._catalog, self._key_ids = revision, None, None
            self._grants.clear()

    async def _load_grant(self, connection: AsyncConnection, key_id: str) -> Grant | None:
        if self._key_ids is None:
            self._key_ids = frozenset((await connection.execute(sa.select(api_keys.c.id))).scalars())
        if key_id not in self._key_ids:
            return None
        if len(self._grants) >= GRANTS_MAX:
            self._grants.clear()
        row = (await connection.execute(_GRANT, {"key_id": key_id})).mappings().one_or_none()
        grant = None if row is None else await grant_of_row(connection, row, self._revision)
        self._grants[key_id] = grant
        return grant

    async def _load_catalog(self, connection: AsyncConnection) -> Catalog:
        self._catalog = loaded = await read_catalog(connection)
        return loaded


async def _revision(connection: AsyncConnection) -> int:
    return int((await connection.execute(sa.select(organization.c.revision))).scalar_one())


async def grant_of_row(connection: AsyncConnection, row: Any, revision: int) -> Grant:
    """Make the grant of a key from its row, joined with its user and project, and read its limits."""
    return Grant(
        key_id=row["id"],
        key_name=row["name"],
        secret_hmac=row["secret_hmac"],
        user_id=row["user_id"],
        user_name=row["user_name"],
        project_id=row["project_id"],
        project_name=row["project_name"],
        models=None if row["models"] is None else frozenset(row["models"]),
        expires_at_ms=row["expires_at_ms"],
        revoked=row["revoked_at_ms"] is not None,
        owner_disabled=row["disabled_at_ms"] is not None or row["deleted_at_ms"] is not None or row["role"] is None,
        project_archived=row["archived_at_ms"] is not None,
        limits=await _limits(connection, row),
        revision=revision,
        previous_hmac=row["previous_hmac"],
        previous_until_ms=row["previous_until_ms"],
        project_models=None if row["mode"] is None else ModelRule(row["mode"], tuple(row["project_models"])),
    )


async def _limits(connection: AsyncConnection, key: Any) -> tuple[Limit, ...]:
    """Read the limits of the key, its user, its project and the organization, the narrowest scope first."""
    owners = {
        ("key", key["id"]): key["name"],
        ("user", key["user_id"]): key["user_name"],
        ("project", key["project_id"]): key["project_name"],
        ("organization", ""): "",
    }
    scopes = list(owners)
    select = sa.select(limits).where(
        sa.tuple_(limits.c.scope, limits.c.scope_id).in_(scopes), limits.c.amount.is_not(None)
    )
    rows = (await connection.execute(select.order_by(limits.c.id))).mappings().all()
    found = [Limit(**row, owner=owners[row["scope"], row["scope_id"]]) for row in rows]
    return tuple(sorted(found, key=lambda limit: scopes.index((limit.scope, limit.scope_id))))


OWNER_COLUMNS = (
    users.c.name.label("user_name"),
    *users.c["disabled_at_ms", "deleted_at_ms"],
    project_users.c.role,
    projects.c.name.label("project_name"),
    projects.c.archived_at_ms,
    model_permissions.c.mode,
    model_permissions.c.models.label("project_models"),
)
"""What `grant_of_row` reads of a user and a project."""
_GRANT = (
    sa.select(api_keys, *OWNER_COLUMNS)
    .join(users, users.c.id == api_keys.c.user_id)
    .join(projects, projects.c.id == api_keys.c.project_id)
    .outerjoin(
        project_users,
        sa.and_(project_users.c.project_id == api_keys.c.project_id, project_users.c.user_id == api_keys.c.user_id),
    )
    .outerjoin(model_permissions, model_permissions.c.project_id == api_keys.c.project_id)
    .where(api_keys.c.id == sa.bindparam("key_id"))
)
