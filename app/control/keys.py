"""API keys: made once, shown once, revoked for good."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.dates import expiry_ms
from app.control.names import checked_name, shown
from app.control.people import DEFAULT_PROJECT, the_project, the_user
from app.core import keys as secrets
from app.errors import Conflict, InvalidValue, NotFound
from app.store import keys as store
from app.store import prices
from app.store.engine import Database
from app.store.keys import KeyRecord, StoredKey


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """`key` is the secret: it is nowhere else and never comes back."""

    id: str
    key: str


@dataclass(frozen=True, slots=True)
class WantedKey:
    """Names or ids of its user and project; `models` None means all, `expires` None never (`90d`, `12h`, `2026-12-31`)."""

    user: str
    project: str = DEFAULT_PROJECT
    name: str | None = None
    models: Sequence[str] | None = None
    expires: str | None = None


async def create_key(database: Database, pepper: bytes, zone: ZoneInfo, wanted: WantedKey) -> CreatedKey:
    """Raises InvalidValue; NotFound for user, project or model; Conflict when user or project is not active."""
    now_ms = await database.now_ms()
    name = None if wanted.name is None else checked_name(wanted.name)
    expires_at_ms = None if wanted.expires is None else expiry_ms(wanted.expires, now_ms, zone)
    async with database.write() as connection:
        user_id, user_name = await _active_user(connection, wanted.user)
        project_id = await _active_project(connection, wanted.project)
        models = await _known_models(connection, wanted.models)
        new = secrets.new_key()
        stored = StoredKey(
            id=new.id,
            user_id=user_id,
            project_id=project_id,
            name=name or user_name,
            secret_hmac=secrets.secret_hmac(pepper, new.secret),
            last_four=new.last_four,
            models=models,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
        await store.insert_key(connection, stored)
    return CreatedKey(new.id, new.secret)


async def list_keys(database: Database) -> list[KeyRecord]:
    """Newest first, revoked and expired ones too."""
    async with database.read() as connection:
        return await store.list_keys(connection)


async def show_key(database: Database, key_id: str) -> KeyRecord:
    """Raises NotFound."""
    async with database.read() as connection:
        return await the_key(connection, key_id)


async def revoke_key(database: Database, key_id: str) -> KeyRecord:
    """Within a second no replica takes it any more; doing it twice keeps the first instant. Raises NotFound."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        await the_key(connection, key_id)
        await store.revoke(connection, key_id, now_ms)
        return await the_key(connection, key_id)


async def the_key(connection: AsyncConnection, key_id: str) -> KeyRecord:
    """Raises NotFound, and never repeats a whole secret that was given for an id."""
    key = await store.find_key(connection, key_id)
    if key is None:
        named = "with that secret for an id; its id is like key_ and 12 characters"
        message = f"There is no key {named if key_id.startswith('sk-') else shown(key_id)}."
        raise NotFound(f"{message} `imagegate keys list` shows them all.", param="key")
    return key


async def _active_user(connection: AsyncConnection, name_or_id: str) -> tuple[str, str]:
    user = await the_user(connection, name_or_id)
    if user.disabled_at_ms is not None:
        message = f"The user {shown(user.name)} is disabled; `imagegate users enable {user.id}` undoes that."
        raise Conflict(message, param="user")
    return user.id, user.name


async def _active_project(connection: AsyncConnection, name_or_id: str) -> str:
    project = await the_project(connection, name_or_id)
    if project.archived_at_ms is not None:
        raise Conflict(f"The project {shown(project.name)} is archived; choose another.", param="project")
    return project.id


async def _known_models(connection: AsyncConnection, names: Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    catalog = (await prices.catalog(connection)).models
    unknown = [name for name in names if name not in catalog]
    if unknown or not names:
        raise InvalidValue(
            f"The models must be of the catalog ({', '.join(catalog)}); not in it: "
            f"{', '.join(map(shown, unknown)) or 'an empty list'}. `imagegate prices set` puts one into it.",
            param="models",
        )
    return tuple(dict.fromkeys(names))
