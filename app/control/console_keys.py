"""Console keys: what a person buys in the console is booked to a key of theirs without a secret, one in each project."""

from app.control.keys import get_key, key_facts
from app.core import keys as secrets
from app.core.grants import Grant
from app.errors import NotFound
from app.store import console_keys as store
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.keys import StoredKey, insert_key

NAME = "Console"
NOT_IN_PROJECT = "There is no such project, or you are not in it; nothing was bought."


async def grant_in_project(database: Database, user_id: str, project_id: str) -> Grant:
    """Return what a person may buy in a project, with an empty `key_id` before their first purchase there. Changes nothing.

    Raises NotFound when they are not in it or it is archived, StoreUnavailable.
    """
    return _usable(await database.ask(store.member_grant, user_id, project_id), await database.now_ms())


async def console_key(database: Database, user_id: str, project_id: str) -> str:
    """Return the id of a person's Console key in a project; the first purchase makes it. It has no secret, so that nothing
    authenticates with it. Raises as `grant_in_project` does."""
    found = await grant_in_project(database, user_id, project_id)
    if found.key_id:
        return found.key_id
    now_ms = await database.now_ms()
    async with database.write() as connection:
        # Control writes run one after another, so that only one of two makes it.
        grant = _usable(await store.member_grant(connection, user_id, project_id), now_ms)
        if grant.key_id:
            return grant.key_id
        id = secrets.new_key().id
        key = StoredKey(id, user_id, project_id, NAME, store.NO_SECRET, "", None, now_ms, None)
        await insert_key(connection, key)
        facts = key_facts(await get_key(connection, id))
        await log_changes(connection, Change("api_key.created", id, None, facts, project_id))
    return id


def _usable(grant: Grant | None, now_ms: int) -> Grant:
    if grant is None or not grant.usable_at(now_ms):
        raise NotFound(NOT_IN_PROJECT, param="project")
    return grant
