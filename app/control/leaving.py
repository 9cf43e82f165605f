"""Deleting whoever held keys: nothing of theirs works any more, and everything they did stays in the book."""

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control import admin_keys, keys
from app.control.people import the_person, user_facts
from app.store import admin_keys as stored_admin_keys
from app.store import keys as stored_keys
from app.store import members, organization
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.organization import User


async def delete_user(database: Database, name_or_id: str) -> User:
    """Delete a user for good, with the user's API keys and admin API keys; the name is free again. Raises NotFound."""
    now_ms = await database.now_ms()
    async with database.write() as connection:
        user = await the_person(connection, name_or_id)
        await leave(connection, user, now_ms)
    return user


async def leave(connection: AsyncConnection, user: User, now_ms: int) -> None:
    """Delete a user or service account as part of a larger change. Usage, limits and the log keep what they say of the user."""
    for key in await stored_keys.keys_of_user(connection, user.id):
        await keys.revoke_with(connection, key, now_ms)
    for admin_key in await stored_admin_keys.of_user(connection, user.id):
        await admin_keys.revoke_with(connection, admin_key, now_ms)
    for project_id, _, role in await members.projects_of(connection, user.id):
        await members.remove(connection, project_id, user.id)
        if not user.is_service_account:
            await log_changes(connection, Change("user.deleted", user.id, {"role": role}, None, project_id))
    await organization.update_user(connection, user.id, deleted_at_ms=now_ms)
    event = "service_account.deleted" if user.is_service_account else "user.deleted"
    await log_changes(connection, Change(event, user.id, user_facts(user), None, user.project_id))
