"""Audit log for people: pages of changes."""

from collections.abc import Sequence

from app.core.limits import Limit
from app.store.audit_logs import LoggedChange
from app.store.engine import Database
from app.store.limits import limits_by_id
from app.store.organization import find_user


async def limits_and_people(
    database: Database, changes: Sequence[LoggedChange]
) -> tuple[dict[int, Limit], dict[str, str]]:
    """Return the limits by id, and the names of the people by id, that these changes hold the ids of. What is gone is left out."""
    facts = [each for change in changes for each in (change.before, change.after) if each]
    limit_ids = {each["limit_id"] for each in facts if isinstance(each.get("limit_id"), int)}
    user_ids = {
        each[name] for each in facts for name in ("user_id", "scope_id") if str(each.get(name)).startswith("user-")
    }
    async with database.read() as connection:
        limits = await limits_by_id(connection, sorted(limit_ids))
        users = [user for id in sorted(user_ids) if (user := await find_user(connection, id)) is not None]
    return {limit.id: limit for limit in limits}, {user.id: user.name for user in users}
