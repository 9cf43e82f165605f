"""Deletion of users and service accounts with their keys, and what stops when a person leaves. Their requests stay in the book."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control import admin_keys, keys
from app.control.names import quoted
from app.control.people import LAST_OWNER, get_person, user_facts
from app.errors import Conflict
from app.store import admin_keys as stored_admin_keys
from app.store import keys as stored_keys
from app.store import limits, members, organization, people_lists, sign_in
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.keys import KeyRecord
from app.store.organization import User


async def delete_user(database: Database, name_or_id: str) -> User:
    """Delete a user for good, with the user's API keys and admin API keys; the name is free again.

    Raises NotFound, and Conflict for the last owner.
    """
    now_ms = await database.now_ms()
    async with database.write() as connection:
        user = await get_person(connection, name_or_id)
        await delete_owner(connection, user, now_ms)
    return user


async def delete_owner(connection: AsyncConnection, user: User, now_ms: int) -> None:
    """Delete a user or service account in the caller's transaction. Usage, limits and the audit log keep its name."""
    for key in await stored_keys.keys_of_user(connection, user.id):
        await keys.revoke_with(connection, key, now_ms)
    for admin_key in await stored_admin_keys.of_user(connection, user.id):
        await admin_keys.revoke_with(connection, admin_key, now_ms)
    for project_id, _, role in await members.projects_of(connection, user.id):
        await members.remove(connection, project_id, user.id)
        if not user.is_service_account:
            await log_changes(connection, Change("user.deleted", user.id, {"role": role}, None, project_id))
    if not await organization.update_user(connection, user.id, deleted_at_ms=now_ms):
        raise Conflict(f"{quoted(user.name)} {LAST_OWNER}.", param="user")
    await sign_in.forget_person(connection, user.id)  # After the guard, which looks whether they can sign in.
    await limits.apply_defaults(connection, user_id=user.id)
    event = "service_account.deleted" if user.is_service_account else "user.deleted"
    await log_changes(connection, Change(event, user.id, user_facts(user), None, user.project_id))


@dataclass(frozen=True, slots=True)
class LeavingPreview:
    """Things that stop with a person: the `keys` that work now, and their sessions. `running` requests end as they would, and are
    charged."""

    user: User
    keys: Sequence[KeyRecord]
    running: int
    sessions: int


async def leaving_preview(database: Database, name_or_id: str) -> LeavingPreview:
    """Read what would stop. Raises NotFound."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        user = await get_person(connection, name_or_id)
        found = [
            key for key in await stored_keys.keys_of_user(connection, user.id) if key.status_at(now_ms) == "active"
        ]
        running = await people_lists.count_running(connection, user.id)
        sessions = await people_lists.count_sessions(connection, user.id)
    return LeavingPreview(user, found, running, sessions)
