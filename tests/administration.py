"""Users and keys made and changed by tests, with the functions that the administration API calls."""

from typing import Any
from zoneinfo import ZoneInfo

from app.control.keys import CreatedKey, page_of_keys
from app.control.limit_increases import ask_for_more
from app.control.limits import LimitChange, ScopeRef, set_limits
from app.control.models import list_models
from app.control.people import UserChange, modify_user
from app.control.project_keys import NewProjectKey, create_project_key, delete_project_key
from app.control.projects import DEFAULT_PROJECT
from app.store.engine import Database
from app.store.keys import KeyRecord
from app.store.organization import User
from app.store.pages import Cursor

UTC = ZoneInfo("UTC")
PEPPER = b"a pepper for the tests, long enough"

DOCTOR_CHECKS = (
    "configuration",
    "database",
    "secret key",
    "clock",
    "prices",
    "models",
    "limits",
    "backups",
    "results",
    "pictures",
    "alerts",
    "redis",
    "disk",
    "file modes",
    "relay",
    "relay log",
)
"""Checks of `imagegate doctor` and `GET /doctor`, in their order."""


async def create_key(
    database: Database, user: str = "lin", *, pepper: bytes = PEPPER, project: str = DEFAULT_PROJECT, **given: Any
) -> CreatedKey:
    return await create_project_key(database, pepper, project, NewProjectKey(user, **given))


async def list_keys(database: Database) -> list[KeyRecord]:
    return list((await page_of_keys(database, Cursor(limit=100, descending=True))).records)


async def revoke_key(database: Database, key_id: str) -> None:
    [key] = [key for key in await list_keys(database) if key.id == key_id]
    await delete_project_key(database, key.project_id, key_id)


async def disable_user(database: Database, name_or_id: str) -> User:
    return await modify_user(database, name_or_id, UserChange(disabled=True))


async def enable_user(database: Database, name_or_id: str) -> User:
    return await modify_user(database, name_or_id, UserChange(disabled=False))


async def ask_for_images(database: Database, user_id: str) -> dict[str, str]:
    """Give a user limits for models and let them ask for more; returns the ids of the two requests by name."""
    asked = {}
    for name, row in zip(("increase_id", "spare_increase"), await list_models(database), strict=False):
        change = LimitChange("images", "day", 1000)
        [state] = await set_limits(database, UTC, ScopeRef("user", user_id), row.model, [change])
        asked[name] = (await ask_for_more(database, user_id, state.limit.id, 10, "")).id
    return asked
