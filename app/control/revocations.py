"""Revocations and erasures of a journal, applied again to a database that was restored from an older backup."""

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control import admin_keys, keys
from app.control.deletion import delete_owner
from app.control.erasure import begin_erasure
from app.control.people import change_user
from app.control.projects import archive_with
from app.errors import Conflict
from app.store import admin_keys as stored_admin_keys
from app.store import keys as stored_keys
from app.store import members
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.journal import Revocation
from app.store.organization import find_project, find_user

_ROTATED = "api_key.updated"
Apply = Callable[[AsyncConnection, Revocation, int], Awaitable[bool]]


async def apply_revocations(database: Database, revocations: Sequence[Revocation]) -> tuple[int, list[Revocation]]:
    """Apply revocations in their order; returns how many changed anything, and those that could not be applied.

    What was made after the backup is not there to be revoked. A key whose secret was rotated since is revoked: the old secret
    would work again, and the new one is not known here. The data of erased people goes when the gateway starts.
    """
    now_ms, changed, failed = await database.now_ms(), 0, list[Revocation]()
    newest = {each.target_id: each for each in revocations if each.event == _ROTATED}
    for each in revocations:
        if each.event not in _APPLY or (each.event == _ROTATED and each is not newest[each.target_id]):
            continue
        try:
            async with database.write() as connection:
                changed += await _APPLY[each.event](connection, each, now_ms)
        except Conflict:  # The last owner; the one who took over is not in this backup.
            failed.append(each)
    return changed, failed


async def _revoke_key(connection: AsyncConnection, revocation: Revocation, now_ms: int) -> bool:
    key = await stored_keys.find_key(connection, revocation.target_id)
    if key is None or key.revoked_at_ms is not None or revocation.values.get("last_four") == key.last_four:
        return False
    await keys.revoke_with(connection, key, now_ms)
    return True


async def _revoke_admin_key(connection: AsyncConnection, revocation: Revocation, now_ms: int) -> bool:
    key = await stored_admin_keys.find_admin_key(connection, revocation.target_id)
    if key is None or key.revoked_at_ms is not None:
        return False
    await admin_keys.revoke_with(connection, key, now_ms)
    return True


async def _delete_user(connection: AsyncConnection, revocation: Revocation, now_ms: int) -> bool:
    """Delete a user or service account; an event in a project is about a person's place there."""
    user = await find_user(connection, revocation.target_id)
    if user is None or user.deleted_at_ms is not None:
        return False
    if revocation.project_id is None or user.is_service_account:
        await delete_owner(connection, user, now_ms)
        return True
    member = await members.find(connection, revocation.project_id, user.id)
    if member is None:
        return False
    await members.remove(connection, revocation.project_id, user.id)
    change = Change("user.deleted", user.id, {"role": member.role}, None, revocation.project_id)
    await log_changes(connection, change)
    return True


async def _erase_user(connection: AsyncConnection, revocation: Revocation, now_ms: int) -> bool:
    user = await find_user(connection, revocation.target_id)
    if user is None or user.erased_at_ms is not None:
        return False
    await begin_erasure(connection, user.id, now_ms)
    return True


async def _change_user(connection: AsyncConnection, revocation: Revocation, now_ms: int) -> bool:
    user = await find_user(connection, revocation.target_id)
    if user is None or user.deleted_at_ms is not None:
        return False
    values: dict[str, object] = {}
    if (disabled := revocation.values.get("disabled")) not in (None, user.disabled_at_ms is not None):
        values["disabled_at_ms"] = now_ms if disabled else None
    if (role := revocation.values.get("access_role")) not in (None, user.access_role):
        values["access_role"] = role
    if values:
        await change_user(connection, user, **values)
    return bool(values)


async def _archive_project(connection: AsyncConnection, revocation: Revocation, now_ms: int) -> bool:
    project = await find_project(connection, revocation.target_id)
    if project is None or project.archived_at_ms is not None:
        return False
    await archive_with(connection, project, now_ms)
    return True


_APPLY: dict[str, Apply] = {
    "api_key.deleted": _revoke_key,
    _ROTATED: _revoke_key,
    "admin_api_key.deleted": _revoke_admin_key,
    "user.deleted": _delete_user,
    "service_account.deleted": _delete_user,
    "user.erased": _erase_user,
    "user.updated": _change_user,
    "service_account.updated": _change_user,
    "project.archived": _archive_project,
}
