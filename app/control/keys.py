"""API keys of all projects: create, list, rotate, change, revoke."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.members import ensure_member
from app.control.names import quoted
from app.control.people import user_ids_of
from app.control.pepper import fingerprint
from app.control.projects import get_project
from app.core import keys as secrets
from app.errors import Conflict, InvalidValue, NotFound
from app.store import keys as store
from app.store import prices
from app.store.audit_logs import Change, Facts, log_changes
from app.store.engine import Database
from app.store.keys import KeyConditions, KeyRecord, KeyStatus, StoredKey
from app.store.organization import Project, User
from app.store.pages import Cursor, Page

GRACE_S_MAX = 30 * 86_400
LIFETIME_S_MAX = 100 * 365 * 86_400


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """New or rotated key. `key` is its secret, which is stored nowhere."""

    id: str
    key: str


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """Checked fields of a new key; `models` None means all."""

    name: str
    models: tuple[str, ...] | None
    created_at_ms: int
    expires_at_ms: int | None


async def add_key(
    connection: AsyncConnection, pepper: bytes, user: User, project: Project, facts: KeyFacts
) -> CreatedKey:
    """Create a key in the caller's transaction. A person becomes a member of the project. Raises Conflict for a service account
    of another project."""
    await admit_owner(connection, user, project, facts.created_at_ms)
    new = secrets.new_key()
    stored = StoredKey(
        id=new.id,
        user_id=user.id,
        project_id=project.id,
        name=facts.name,
        secret_hmac=secrets.secret_hmac(pepper, new.secret),
        last_four=new.last_four,
        models=facts.models,
        created_at_ms=facts.created_at_ms,
        expires_at_ms=facts.expires_at_ms,
        pepper_fingerprint=fingerprint(pepper),
    )
    await store.insert_key(connection, stored)
    key = await get_key(connection, new.id)
    await log_changes(connection, Change("api_key.created", key.id, None, key_facts(key), project.id))
    return CreatedKey(new.id, new.secret)


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Filter of a list of keys; None leaves one out. `user` is a name, id or e-mail address, `project` a name or id; the others are
    those of `KeyConditions`."""

    user: str | None = None
    project: str | None = None
    status: KeyStatus | None = None
    unused_since_ms: int | None = None
    words: str | None = None
    without_limit: bool = False


async def page_of_keys(database: Database, cursor: Cursor, wanted: KeyFilter = KeyFilter()) -> Page[KeyRecord]:
    """List keys of every project by creation, including revoked and expired ones. Raises NotFound for user and project,
    InvalidValue for the cursor."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        user_ids = None if wanted.user is None else await user_ids_of(connection, wanted.user)
        project_id = None if wanted.project is None else (await get_project(connection, wanted.project)).id
        conditions = KeyConditions(
            user_ids, project_id, wanted.status, wanted.unused_since_ms, now_ms, wanted.words, wanted.without_limit
        )
        return await store.page_of_all_keys(connection, cursor, conditions)


async def revoke_with(connection: AsyncConnection, key: KeyRecord, now_ms: int) -> None:
    """Revoke a key in the caller's transaction."""
    await store.revoke(connection, key.id, now_ms)
    await log_changes(connection, Change("api_key.deleted", key.id, key_facts(key), None, key.project_id))


async def rotate_key(database: Database, pepper: bytes, key_id: str, grace_s: int) -> CreatedKey:
    """Make a new secret for a key; its id, limits, models and history stay. The old secret works for `grace_s` more seconds.

    Raises NotFound; InvalidValue; Conflict for a key that is revoked or expired.
    """
    if not 0 <= grace_s <= GRACE_S_MAX:
        message = f"The old secret may go on for 0 to {GRACE_S_MAX} seconds."
        raise InvalidValue(message, param="grace_period_seconds")
    now_ms = await database.now_ms()
    async with database.write() as connection:
        key = await get_key(connection, key_id)
        check_usable(key, now_ms)
        check_has_secret(key, "rotated")
        new = secrets.new_key(key.id)
        hashed = secrets.secret_hmac(pepper, new.secret)
        until_ms = now_ms + grace_s * 1000
        await store.rotate(connection, key.id, hashed, new.last_four, until_ms, fingerprint(pepper))
        await _log_update(connection, key)
    return CreatedKey(new.id, new.secret)


async def admit_owner(connection: AsyncConnection, user: User, project: Project, now_ms: int) -> None:
    """Make a person a member of the project that a key of theirs is for. Raises Conflict for a service account of another."""
    if user.is_service_account and user.project_id != project.id:
        raise Conflict(f"The service account {quoted(user.name)} belongs to another project.", param="user")
    if not user.is_service_account:  # A service account without a role may hold keys; they work once it has one.
        await ensure_member(connection, project, user, now_ms)


async def change_key(connection: AsyncConnection, key: KeyRecord, **values: Any) -> KeyRecord:
    """Write these fields (name, models, expires_at_ms, user_id, project_id) and log the change."""
    await store.update_key(connection, key.id, **values)
    return await _log_update(connection, key)


async def get_key(connection: AsyncConnection, key_id: str) -> KeyRecord:
    """Return a key. Raises NotFound; its message does not repeat a secret that was given as the id."""
    key = await store.find_key(connection, key_id)
    if key is None:
        named = "with that secret for an id; its id is like key_ and 12 characters"
        message = f"There is no key {named if key_id.startswith('sk-') else quoted(key_id)}."
        raise NotFound(f"{message} `imagegate keys list` shows them all.", param="key")
    return key


def check_usable(key: KeyRecord, now_ms: int) -> None:
    """Check that a key is neither revoked nor expired. Raises Conflict."""
    if (status := key.status_at(now_ms)) in ("revoked", "expired"):
        raise Conflict(f"The key {key.id} is {status}; make a new one.", param="key")


def check_has_secret(key: KeyRecord, action: str) -> None:
    """Check that a key is no Console key, which has no secret to give out. Raises Conflict."""
    if not key.has_secret:
        raise Conflict(
            f"The key {key.id} stands for what {quoted(key.user)} buys in the console, and cannot be {action}. A limit bounds it, "
            "and it ends with the person's place in the project.",
            param="key",
        )


def expiry_in_ms(expires_in_s: int, now_ms: int) -> int:
    """Return the instant of expiry. Raises InvalidValue."""
    if not 1 <= expires_in_s <= LIFETIME_S_MAX:
        message = f"A key lasts from 1 to {LIFETIME_S_MAX} seconds; leave this out for one that does not expire."
        raise InvalidValue(message, param="expires_in_seconds")
    return now_ms + expires_in_s * 1000


async def known_models(connection: AsyncConnection, names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Return models without repetitions; None means all. Raises InvalidValue for an empty list and one not in the catalog."""
    if names is None:
        return None
    catalog = (await prices.read_catalog(connection)).models
    unknown = [name for name in names if name not in catalog]
    if unknown or not names:
        raise InvalidValue(
            f"The models must be of the catalog ({', '.join(catalog)}); not in it: "
            f"{', '.join(map(quoted, unknown)) or 'an empty list'}. `imagegate prices set` puts one into it.",
            param="models",
        )
    return tuple(dict.fromkeys(names))


def key_facts(key: KeyRecord) -> Facts:
    """Return the fields of a key that the audit log keeps."""
    names = ("name", "user_id", "project_id", "expires_at_ms", "last_four", "previous_until_ms")
    return {**{name: getattr(key, name) for name in names}, "models": None if key.models is None else list(key.models)}


async def _log_update(connection: AsyncConnection, before: KeyRecord) -> KeyRecord:
    after = await get_key(connection, before.id)
    await log_changes(
        connection, Change("api_key.updated", after.id, key_facts(before), key_facts(after), after.project_id)
    )
    return after
