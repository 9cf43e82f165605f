"""Default limits: what each user has from them, and what an own limit, a project and the end of either changes."""

import asyncio
from zoneinfo import ZoneInfo

from app.control import deletion, limits, members, people, projects, service_accounts
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.control.projects import get_project
from app.control.service_accounts import NewServiceAccount
from app.core.ids import new_id
from app.core.intervals import bounds_ms
from app.store.engine import Database
from app.store.organization import User
from tests.administration import PEPPER, create_key
from tests.databases import insert_counter

ZONE = ZoneInfo("Asia/Shanghai")
EVERYONE = ScopeRef("everyone")


def images(amount: int | None) -> LimitChange:
    return LimitChange("images", "day", amount)


async def set_limit(database: Database, where: ScopeRef, amount: int | None, model: str | None = None) -> None:
    await limits.set_limits(database, ZONE, where, model, [images(amount)])


async def states(database: Database, name: str) -> list[LimitState]:
    return await limits.show_limits(database, ZONE, ScopeRef("user", name))


async def amounts(database: Database, *names: str) -> list[int | None]:
    """The amount of the one limit of each user; None without one."""
    found = [await states(database, name) for name in names]
    return [each[0].limit.amount if each else None for each in found]


async def make_users(database: Database, *names: str) -> None:
    for name in names:
        await people.create_user(database, name)


async def make_project(database: Database, name: str, *users: str, default: int | None = None) -> ScopeRef:
    """A project with members; returns the scope of its default."""
    await projects.create_project(database, name)
    for user in users:
        await members.add_member(database, name, "member", user)
    if default is not None:
        await set_limit(database, ScopeRef("everyone", name), default)
    return ScopeRef("everyone", name)


async def test_a_default_gives_a_limit_to_whoever_is_there_and_to_whoever_comes(database: Database) -> None:
    await make_users(database, "lin", "bo")
    await set_limit(database, ScopeRef("user", "bo"), 7)

    await set_limit(database, EVERYONE, 20)
    await make_users(database, "aki")
    account, _ = await service_accounts.create_service_account(database, PEPPER, "default", NewServiceAccount("ci"))

    assert await amounts(database, "lin", "bo", "aki", account.id) == [20, 7, 20, 20]
    [lin], [bo] = await states(database, "lin"), await states(database, "bo")
    assert (lin.limit.label, lin.limit.default_of) == ("default daily image quota of user lin", "")
    assert (bo.limit.label, bo.limit.default_of) == ("daily image quota of user bo", None)
    assert (lin.spent, lin.held, lin.left) == (0, 0, 20)


async def test_a_changed_default_changes_what_comes_from_it_and_a_removed_one_takes_it_away(database: Database) -> None:
    await make_users(database, "lin", "bo")
    await set_limit(database, ScopeRef("user", "bo"), 7)
    await set_limit(database, EVERYONE, 20)

    await set_limit(database, EVERYONE, 30)
    changed = await amounts(database, "lin", "bo")
    await set_limit(database, EVERYONE, None)

    assert changed == [30, 7]
    assert await amounts(database, "lin", "bo") == [None, 7]


async def test_an_own_limit_begins_with_what_is_spent_and_held_on_the_default_and_gives_it_back(
    database: Database,
) -> None:
    await make_users(database, "lin")
    await set_limit(database, EVERYONE, 20)
    [default] = await states(database, "lin")
    today, _ = bounds_ms("day", await database.now_ms(), ZONE)
    await insert_counter(database, default.limit.id, today, spent=6, held=2)

    await set_limit(database, ScopeRef("user", "lin"), 50)
    [own] = await states(database, "lin")
    await set_limit(database, ScopeRef("user", "lin"), None)
    [again] = await states(database, "lin")
    await set_limit(database, EVERYONE, 30)
    [raised] = await states(database, "lin")

    assert [(each.limit.amount, each.spent, each.held, each.limit.default_of) for each in (own, again, raised)] == [
        (50, 6, 2, None),
        (20, 6, 2, ""),
        (30, 6, 2, ""),
    ]


async def test_a_project_default_stands_before_the_organization_s_and_of_several_the_smallest(
    database: Database,
) -> None:
    await make_users(database, "lin", "bo")
    await set_limit(database, EVERYONE, 20)
    red = await make_project(database, "red", "lin", default=100)
    seen = [await amounts(database, "lin", "bo")]
    await make_project(database, "blue", "lin", default=60)
    seen.append(await amounts(database, "lin", "bo"))
    await set_limit(database, red, 40)
    seen.append(await amounts(database, "lin", "bo"))
    await set_limit(database, red, None)
    seen.append(await amounts(database, "lin", "bo"))

    assert seen == [[100, 20], [60, 20], [40, 20], [60, 20]]


async def test_whoever_joins_or_leaves_a_project_gains_or_loses_its_default(database: Database) -> None:
    await make_users(database, "lin", "bo", "aki")
    await set_limit(database, EVERYONE, 9)
    for name in ("red", "blue"):
        await make_project(database, name, default=5)
    red = await database.ask(get_project, "red")
    lin = await members.add_member(database, "red", "member", "lin")
    await create_key(database, "bo", project="red")
    await members.add_member(database, "blue", "member", "aki")
    joined = await amounts(database, "lin", "bo", "aki")

    await members.remove_member(database, red.id, lin.id)
    left = await amounts(database, "lin", "bo", "aki")
    await projects.archive_project(database, "blue")

    assert (joined, left) == ([5, 5, 5], [9, 5, 5])
    assert await amounts(database, "lin", "bo", "aki") == [9, 5, 9]


async def test_an_archived_project_and_a_deleted_user_have_nothing_from_a_default(database: Database) -> None:
    await make_users(database, "lin", "bo")
    await make_project(database, "red", "lin", "bo", default=5)

    await projects.archive_project(database, "red")
    archived = await amounts(database, "lin", "bo")
    await set_limit(database, EVERYONE, 9)
    await deletion.delete_user(database, "bo")

    assert archived == [None, None]
    left = await limits.show_limits(database, ZONE)
    assert [(state.limit.scope, state.limit.owner) for state in left] == [
        ("everyone", ""),
        ("everyone", "red"),
        ("user", "lin"),
    ]


async def test_a_default_for_a_model_a_rate_and_one_of_concurrency_are_limits_like_others(database: Database) -> None:
    await make_users(database, "lin")
    await set_limit(database, EVERYONE, 20)
    await set_limit(database, EVERYONE, 3, model="gpt-image-1")
    others = [LimitChange("requests", "minute", 6), LimitChange("in_flight", "lifetime", 2)]
    await limits.set_limits(database, ZONE, EVERYONE, None, others)
    before = {(each.limit.model, each.limit.unit): each.limit for each in await states(database, "lin")}

    await set_limit(database, ScopeRef("user", "lin"), 8, model="gpt-image-1")
    await limits.set_limits(database, ZONE, ScopeRef("user", "lin"), None, [LimitChange("requests", "minute", 60)])
    after = {(each.limit.model, each.limit.unit): each.limit for each in await states(database, "lin")}

    assert {key: limit.amount for key, limit in before.items()} == {
        ("", "images"): 20,
        ("gpt-image-1", "images"): 3,
        ("", "requests"): 6,
        ("", "in_flight"): 2,
    }
    assert before["", "requests"].label == "default requests per minute of user lin"
    own = {("gpt-image-1", "images"): 8, ("", "requests"): 60}
    assert {key: limit.amount for key, limit in after.items()} == {
        key: own.get(key, limit.amount) for key, limit in before.items()
    }
    assert {key for key, limit in after.items() if limit.default_of is None} == own.keys()
    # The rate is counted under the id, so that it goes on too.
    assert {key: limit.id for key, limit in after.items()} == {key: limit.id for key, limit in before.items()}


async def test_the_list_of_everyone_shows_the_default_and_whose_own_differs(database: Database) -> None:
    await make_users(database, "lin", "bo", "aki")
    red = await make_project(database, "red", "lin", "bo", default=5)
    for name in ("bo", "aki"):
        await set_limit(database, ScopeRef("user", name), 7)
    await limits.set_limits(database, ZONE, ScopeRef("user", "bo"), None, [LimitChange("requests", "day", 1)])

    of_red = await limits.show_limits(database, ZONE, red)
    of_all = await limits.show_limits(database, ZONE, EVERYONE)

    assert [(state.limit.label, state.limit.amount, state.left) for state in of_red] == [
        ("default daily image quota of everyone in project red", 5, None),
        ("daily image quota of user bo", 7, 7),
        ("default daily image quota of user lin", 5, 5),
    ]
    assert of_all == []


async def test_a_user_made_while_a_default_is_set_has_it(database: Database) -> None:
    """The default waits for the transaction that makes the user, and then knows of them."""
    user = User(new_id("user-"), "lin", None, await database.now_ms())
    async with database.write() as connection:
        await people.add_user(connection, user)
        setting = asyncio.create_task(set_limit(database, EVERYONE, 20))
        await asyncio.wait({setting}, timeout=0.2)
        assert not setting.done()
    await setting

    assert await amounts(database, "lin") == [20]


async def test_many_users_and_settings_at_once_leave_everyone_with_the_default(database: Database) -> None:
    names = [f"user {number}" for number in range(12)]
    project = await projects.create_project(database, "red")

    async def join(name: str) -> None:
        await people.create_user(database, name)
        await members.add_member(database, project.id, "member", name)

    defaults = [set_limit(database, ScopeRef("everyone", "red"), amount) for amount in range(1, 9)]
    await asyncio.gather(*map(join, names), *defaults)

    [default, *rest] = await limits.show_limits(database, ZONE, ScopeRef("everyone", "red"))
    assert {state.limit.amount for state in rest} == {default.limit.amount}
    assert len(rest) == len(names)
