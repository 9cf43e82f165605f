"""Increases of limits: asked for by members, decided once, and taken back when their time is over."""

import asyncio
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control import limit_increases, limits, members, people, projects
from app.control.increase_messages import tell_owners
from app.control.limit_increases import (
    approve_increase,
    ask_for_more,
    decline_increase,
    limits_to_raise,
)
from app.control.limit_raises import end_raises, raise_until
from app.control.limits import LimitChange, LimitState, ScopeRef
from app.core.intervals import DAY_MS, bounds_ms
from app.errors import Conflict, GatewayError, InvalidValue, NotFound
from app.notify.notifier import Mailbox, Notifier
from app.store.engine import Database
from app.store.limit_increases import LimitIncrease
from app.store.pages import Cursor
from app.store.tables import limit_increases as rows
from tests.databases import open_increases
from tests.receivers import mail_server

ZONE = ZoneInfo("Asia/Shanghai")
YUAN = 1_000_000


async def set_limit(database: Database, amount: int | None, scope: str = "user", reference: str = "mia") -> None:
    where = ScopeRef(scope, reference)  # type: ignore[arg-type]  # Scopes of the tests are right.
    await limits.set_limits(database, ZONE, where, None, [LimitChange("micros", "month", amount)])


async def limit_of(database: Database, name: str = "mia") -> LimitState:
    [state] = await limits.show_limits(database, ZONE, ScopeRef("user", name))
    return state


async def ask(database: Database, amount: int = 20 * YUAN, name: str = "mia") -> LimitIncrease:
    state = await limit_of(database, name)
    return await ask_for_more(database, state.limit.scope_id, state.limit.id, amount, "posters")


async def pass_time(database: Database) -> None:
    """Let the time of all raises be over."""
    async with database.transaction() as connection:
        await connection.execute(sa.update(rows).where(rows.c.until_ms.is_not(None)).values(until_ms=1))


async def test_a_person_asks_for_more_of_what_holds_for_them_once(database: Database) -> None:
    mia = await people.create_user(database, "mia")
    await projects.create_project(database, "red")
    await members.add_member(database, "red", "member", "mia")
    await people.create_user(database, "max")
    for scope, reference in (("user", "mia"), ("user", "max"), ("project", "red"), ("organization", "")):
        await set_limit(database, 50 * YUAN, scope, reference)
    others = await limit_of(database, "max")

    await ask(database)

    found = await limits_to_raise(database, ZONE, mia.id)
    assert sorted(state.limit.scope for state in found) == ["organization", "project", "user"]
    assert await open_increases(database) == 1
    with pytest.raises(Conflict):
        await ask(database)
    with pytest.raises(NotFound):
        await ask_for_more(database, mia.id, others.limit.id, 1, "")
    project = next(state.limit for state in found if state.limit.scope == "project")
    for wrong in (0, -1, 5):  # Money is asked for in whole hundredths.
        with pytest.raises(InvalidValue):
            await ask_for_more(database, mia.id, project.id, wrong, "")


async def test_an_approval_for_good_makes_the_limit_the_persons_own(database: Database) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN, "everyone", "")
    asked = await ask(database)

    await approve_increase(database, ZONE, asked.id, "for_good", 15 * YUAN, "use it well")
    await set_limit(database, 10 * YUAN, "everyone", "")

    state = await limit_of(database)
    [shown] = (await limit_increases.page_of_increases(database, ZONE, Cursor(), user_id=asked.user_id)).records
    assert (state.limit.amount, state.limit.default_of) == (65 * YUAN, None)
    assert (shown.increase.state, shown.increase.granted, shown.increase.answer) == (
        "approved",
        15 * YUAN,
        "use it well",
    )
    assert await end_raises(database) == 0


async def test_only_one_of_two_decisions_at_once_counts(database: Database) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN)
    asked = await ask(database)

    async def decide(number: int) -> bool:
        try:
            if number % 3:
                await approve_increase(database, ZONE, asked.id, "for_good")
            else:
                await decline_increase(database, asked.id)
        except Conflict:
            return False
        return True

    decided = await asyncio.gather(*(decide(number) for number in range(6)))

    assert decided.count(True) == 1
    assert (await limit_of(database)).limit.amount in (50 * YUAN, 70 * YUAN)
    assert await open_increases(database) == 0


async def test_a_raise_for_an_interval_goes_back_once_when_it_is_over(database: Database) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN)
    asked = await ask(database)
    approved = await approve_increase(database, ZONE, asked.id, "interval")
    assert approved.until_ms == bounds_ms("month", await database.now_ms(), ZONE)[1]
    assert await end_raises(database) == 0 and (await limit_of(database)).limit.amount == 70 * YUAN
    await pass_time(database)

    await asyncio.gather(*(end_raises(database) for _ in range(3)))

    assert (await limit_of(database)).limit.amount == 50 * YUAN


async def test_a_default_holds_again_after_the_last_raise_of_it(database: Database) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN, "everyone", "")
    await approve_increase(database, ZONE, (await ask(database)).id, "interval")
    await pass_time(database)
    later_ms = await database.now_ms() + 3 * DAY_MS
    state = await limit_of(database)
    await raise_until(database, state.limit.id, 100 * YUAN, later_ms)

    await end_raises(database)
    between = await limit_of(database)
    await pass_time(database)
    await set_limit(database, 40 * YUAN, "everyone", "")
    await end_raises(database)
    after = await limit_of(database)

    assert (between.limit.amount, between.limit.default_of) == (80 * YUAN, None)
    assert (after.limit.amount, after.limit.default_of) == (40 * YUAN, "")


async def test_what_was_granted_for_good_stays_after_a_raise_of_a_default(database: Database) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN, "everyone", "")
    await approve_increase(database, ZONE, (await ask(database)).id, "interval")
    await approve_increase(database, ZONE, (await ask(database, 10 * YUAN)).id, "for_good")
    await pass_time(database)

    await end_raises(database)

    state = await limit_of(database)
    assert (state.limit.amount, state.limit.default_of) == (60 * YUAN, None)


@pytest.mark.parametrize("amount", [5 * YUAN, None])
async def test_a_limit_that_is_set_by_hand_does_not_go_back(database: Database, amount: int | None) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN)
    await approve_increase(database, ZONE, (await ask(database)).id, "interval")
    await set_limit(database, amount)
    await pass_time(database)

    await end_raises(database)

    found = await limits.show_limits(database, ZONE, ScopeRef("user", "mia"))
    assert [state.limit.amount for state in found] == ([] if amount is None else [amount])


async def test_what_cannot_be_raised_stays_open(database: Database) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN)
    asked = await ask(database, 10**15)
    wrong: list[type[GatewayError]] = []
    for amount in (None, 0):
        with pytest.raises(GatewayError) as found:
            await approve_increase(database, ZONE, asked.id, "for_good", amount)
        wrong.append(found.type)
    await set_limit(database, None)
    with pytest.raises(Conflict):
        await approve_increase(database, ZONE, asked.id, "for_good", YUAN)

    assert wrong == [InvalidValue, InvalidValue]
    assert await open_increases(database) == 1
    await decline_increase(database, asked.id)


async def test_a_raise_until_a_day_is_above_the_limit_and_lies_ahead(database: Database) -> None:
    await people.create_user(database, "mia")
    await set_limit(database, 50 * YUAN)
    now_ms, id = await database.now_ms(), (await limit_of(database)).limit.id

    for amount, until_ms in ((50 * YUAN, now_ms + DAY_MS), (60 * YUAN, now_ms)):
        with pytest.raises(InvalidValue):
            await raise_until(database, id, amount, until_ms)


async def test_owners_are_told_by_mail_with_a_link(database: Database) -> None:
    await people.create_user(database, "mia")
    for name, role in (("olga", "owner"), ("rita", "reader")):
        user = await people.create_user(database, name, f"{name}@example.com")
        await people.modify_user(database, user.id, people.UserChange(access_role=role))
    await set_limit(database, 50 * YUAN)
    asked = await ask(database)

    async with mail_server() as server:
        notifier = Notifier(mailbox=Mailbox("127.0.0.1", server.port, "none"))
        told = await tell_owners(database, notifier, ZONE, asked.id, "CNY", "https://gw.example.com")

        [mail] = server.mails
    assert (told, server.recipients) == (1, ["olga@example.com"])
    assert mail["subject"].strip() == "mia asks for 20.00 CNY more"
    assert "https://gw.example.com/console/limits" in mail.get_content()
    silent = Notifier(mailbox=Mailbox("127.0.0.1", 9, "none"))
    assert await tell_owners(database, silent, ZONE, asked.id, "CNY", None) == 0
