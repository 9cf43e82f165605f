"""First steps of an installation, as far as its database tells them."""

from dataclasses import dataclass

from app.control.keys import KeyFilter, page_of_keys
from app.store import onboarding as store
from app.store.engine import Database
from app.store.pages import Cursor


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """State of the steps that the database knows: whether a person has a key, and whether anything was bought."""

    has_key: bool
    has_bought: bool


async def is_new(database: Database) -> bool:
    """True as long as nothing was bought. Raises StoreUnavailable."""
    async with database.read() as connection:
        return not await store.any_purchase(connection)


async def first_steps(database: Database, user_id: str) -> FirstSteps:
    """Read the steps of a person. Raises StoreUnavailable."""
    keys = await page_of_keys(database, Cursor(limit=1), KeyFilter(user=user_id, status="active"))
    return FirstSteps(has_key=bool(keys.records), has_bought=not await is_new(database))
