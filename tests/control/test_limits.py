"""Limits: set, removed, and shown with what is used of them."""

import asyncio
from zoneinfo import ZoneInfo

import pytest

from app.control import limits, people, projects
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.core.intervals import bounds_ms
from app.errors import InvalidValue, NotFound
from app.store.engine import Database
from tests.administration import create_key
from tests.databases import insert_counter

ZONE = ZoneInfo("Asia/Shanghai")
EVERYBODY = ScopeRef("organization")
MONTHLY = LimitChange("micros", "month", 12_500_000)


async def set_limits(
    database: Database, *changes: LimitChange, where: ScopeRef = EVERYBODY, model: str | None = None
) -> list[LimitState]:
    return await limits.set_limits(database, ZONE, where, model, changes)


def amounts(states: list[LimitState]) -> list[tuple[str, str, str, int]]:
    return [(state.limit.model, state.limit.unit, state.limit.interval, state.limit.amount) for state in states]


async def test_several_limits_of_one_scope_stand_beside_each_other(database: Database) -> None:
    states = await set_limits(
        database, MONTHLY, LimitChange("micros", "day", 1_000_000), LimitChange("images", "minute", 3)
    )

    assert sorted(amounts(states)) == [
        ("", "images", "minute", 3),
        ("", "micros", "day", 1_000_000),
        ("", "micros", "month", 12_500_000),
    ]


async def test_a_limit_for_a_model_is_another_limit(database: Database) -> None:
    await set_limits(database, MONTHLY)
    states = await set_limits(database, LimitChange("micros", "month", 0), model="gpt-image-1")

    assert amounts(states) == [("gpt-image-1", "micros", "month", 0)]
    assert len(await limits.show_limits(database, ZONE)) == 2


async def test_what_is_spent_and_held_in_the_current_interval_is_not_left(database: Database) -> None:
    [state] = await set_limits(database, MONTHLY)
    start, end = bounds_ms("month", await database.now_ms(), ZONE)
    await insert_counter(database, state.limit.id, start, spent=2_000_000, held=500_000)
    await insert_counter(database, state.limit.id, start - 1, spent=9_000_000, held=0)

    [now] = await limits.show_limits(database, ZONE)

    assert state.left == 12_500_000
    assert (now.spent, now.held, now.left, now.resets_at_ms) == (2_000_000, 500_000, 10_000_000, end)


async def test_a_limit_lowered_below_what_is_spent_is_shown_as_over(database: Database) -> None:
    [state] = await set_limits(database, LimitChange("images", "lifetime", 10))
    await insert_counter(database, state.limit.id, 0, spent=8, held=1)
    [lowered] = await set_limits(database, LimitChange("images", "lifetime", 5))

    assert (lowered.spent, lowered.left, lowered.resets_at_ms) == (8, -4, None)


async def test_of_a_rate_only_the_limit_is_known(database: Database) -> None:
    [state] = await set_limits(database, LimitChange("requests", "minute", 10))

    assert (state.limit.is_rate, state.spent, state.held, state.left, state.resets_at_ms) == (
        True,
        None,
        None,
        None,
        None,
    )


async def test_none_removes_one_and_removing_nothing_is_harmless(database: Database) -> None:
    await set_limits(database, MONTHLY, LimitChange("in_flight", "lifetime", 2))
    left = await set_limits(database, LimitChange("micros", "month", None), LimitChange("images", "day", None))

    assert amounts(left) == [("", "in_flight", "lifetime", 2)]


async def test_a_scope_goes_by_name_or_id(database: Database) -> None:
    user = await people.create_user(database, "lin")
    project = await projects.create_project(database, "red")
    key = await create_key(database)
    for scope in (ScopeRef("user", "lin"), ScopeRef("project", "red"), ScopeRef("key", key.id)):
        await set_limits(database, MONTHLY, where=scope)

    for scope in (ScopeRef("user", user.id), ScopeRef("project", project.id), ScopeRef("key", key.id)):
        [state] = await limits.show_limits(database, ZONE, scope)
        assert state.limit.scope_id == (key.id if scope.scope == "key" else scope.reference)


async def test_an_unknown_scope_is_not_found_and_nothing_is_written(database: Database) -> None:
    for scope in (ScopeRef("user", "bo"), ScopeRef("project", "red"), ScopeRef("key", "key_x")):
        with pytest.raises(NotFound):
            await set_limits(database, MONTHLY, where=scope)
        with pytest.raises(NotFound):
            await limits.show_limits(database, ZONE, scope)
    assert await limits.show_limits(database, ZONE) == []


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        LimitChange("micros", "minute", 10_000),
        LimitChange("in_flight", "day", 1),
        LimitChange("micros", "day", 12_345),
        LimitChange("micros", "day", -10_000),
        LimitChange("micros", "day", 10**15 + 10_000),
        LimitChange("images", "day", -1),
        LimitChange("requests", "minute", 1_000_000_001),
    ],
)
async def test_a_limit_that_cannot_be_is_refused_with_all_that_came_with_it(
    database: Database, change: LimitChange
) -> None:
    with pytest.raises(InvalidValue):
        await set_limits(database, MONTHLY, change)
    assert await limits.show_limits(database, ZONE) == []


async def test_a_model_that_is_not_in_the_catalog_is_refused(database: Database) -> None:
    with pytest.raises(InvalidValue, match="prices set"):
        await set_limits(database, MONTHLY, model="nope")


async def test_many_settings_of_one_limit_at_once_leave_one_limit_with_one_of_the_amounts(database: Database) -> None:
    wanted = [LimitChange("images", "day", amount) for amount in range(1, 9)]

    await asyncio.gather(*(set_limits(database, change) for change in wanted))

    [state] = await limits.show_limits(database, ZONE)
    assert state.limit.amount in range(1, 9)
