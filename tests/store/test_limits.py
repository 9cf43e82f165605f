"""Limits as they are set, and how much of them is used."""

from app.core.limits import Limit
from app.store import keys, limits, organization
from app.store.engine import Database
from app.store.keys import StoredKey
from app.store.limits import LimitKey, LimitUsage
from app.store.organization import User
from tests.databases import insert_counter

MONTHLY = LimitKey("organization", "", "", "micros", "month")


async def set_limit(database: Database, key: LimitKey, amount: int) -> Limit:
    async with database.write() as connection:
        await limits.set_amount(connection, key, amount)
        found = await limits.limits_of_scopes(connection, [(key.scope, key.scope_id)])
    return next(limit for limit in found if (limit.unit, limit.interval) == (key.unit, key.interval))


async def test_setting_a_limit_again_changes_it_and_keeps_its_id(database: Database) -> None:
    first = await set_limit(database, MONTHLY, 100)
    second = await set_limit(database, MONTHLY, 200)

    assert first == Limit(first.id, "organization", "", "", "", "micros", "month", 100)
    assert (second.id, second.amount) == (first.id, 200)


async def test_a_removed_limit_is_gone_until_it_is_set_again_on_the_same_counters(database: Database) -> None:
    first = await set_limit(database, MONTHLY, 100)
    async with database.write() as connection:
        removed = [await limits.remove(connection, MONTHLY), await limits.remove(connection, MONTHLY)]
        left = await limits.all_limits(connection)
    again = await set_limit(database, MONTHLY, 50)

    assert removed == [True, False]
    assert left == []
    assert again.id == first.id


async def test_owners_are_shown_by_the_name_people_know(database: Database) -> None:
    async with database.write() as connection:
        await organization.insert_user(connection, User("user-1", "lin", None, 1))
        await keys.insert_key(connection, StoredKey("key_a", "user-1", "proj_default", "x", b"", "wxyz", None, 1, None))
        for scope, scope_id in (
            ("key", "key_a"),
            ("user", "user-1"),
            ("project", "proj_default"),
            ("organization", ""),
        ):
            key = LimitKey(scope, scope_id, "", "images", "day")  # type: ignore[arg-type]
            await limits.set_amount(connection, key, 1)
        found = await limits.all_limits(connection)

    assert [(limit.scope, limit.owner) for limit in found] == [
        ("organization", ""),
        ("project", "default"),
        ("user", "lin"),
        ("key", "key_a"),
    ]


async def test_what_is_used_is_that_of_the_current_interval_only(database: Database) -> None:
    month = await set_limit(database, MONTHLY, 100)
    life = await set_limit(database, LimitKey("organization", "", "", "micros", "lifetime"), 100)
    await insert_counter(database, month.id, 1_000, spent=9, held=9)
    await insert_counter(database, month.id, 2_000, spent=5, held=3)
    await insert_counter(database, life.id, 0, spent=14, held=12)

    used = await database.ask(limits.used, {"month": 2_000, "lifetime": 0}, [month.id, life.id])

    assert used == {month.id: LimitUsage(5, 3), life.id: LimitUsage(14, 12)}


async def test_an_old_day_that_began_with_the_current_month_is_not_today(database: Database) -> None:
    daily = await set_limit(database, LimitKey("organization", "", "", "micros", "day"), 100)
    await insert_counter(database, daily.id, 2_000, spent=9, held=9)

    used = await database.ask(limits.used, {"month": 2_000, "day": 5_000}, [daily.id])

    assert used == {}
