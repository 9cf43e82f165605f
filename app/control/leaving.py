"""Preview of what stops when a person is disabled."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.control.people import get_person
from app.store import keys, people_lists
from app.store.engine import Database
from app.store.keys import KeyRecord
from app.store.organization import User


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
        found = [key for key in await keys.keys_of_user(connection, user.id) if key.status_at(now_ms) == "active"]
        running = await people_lists.count_running(connection, user.id)
        sessions = await people_lists.count_sessions(connection, user.id)
    return LeavingPreview(user, found, running, sessions)
