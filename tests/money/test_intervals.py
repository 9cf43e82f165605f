"""Money goes to the interval in which it was promised, and limits may be changed at any time."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import httpx2
import pytest
import sqlalchemy as sa

from app.control.limits import LimitState, ScopeRef, show_limits
from app.core.intervals import bounds_ms
from app.sandbox import RunningSandbox
from app.settings import Settings
from app.store.clock import Clock
from app.store.tables import usage
from tests.gateways import Running
from tests.held import HELD, answering
from tests.money.books import (
    ask,
    assert_books_agree,
    assert_nothing_held,
    limited,
    opened,
    the_row,
    until,
    used,
    user_id,
)

ZONE = Settings(_env_file=None).zone
YUAN = 1_000_000


@pytest.fixture
def clock(shop: Running) -> Clock:
    """The time the gateway goes by; the beats, which follow the database's, set another one meanwhile."""
    if shop.gateway.heartbeat.clock is shop.gateway.clock:
        shop.gateway.heartbeat.clock = Clock()
    return shop.gateway.clock


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp() * 1000)


async def state(shop: Running, name: str) -> LimitState:
    [only] = await show_limits(shop.database, ZONE, ScopeRef("user", name))
    return only


async def stands(shop: Running, name: str, wanted: list[tuple[int, int]], unit: str = "micros") -> bool:
    return await used(shop.database, name, unit) == wanted


def code(answer: httpx2.Response) -> str | None:
    return None if answer.status_code == 200 else str(answer.json()["error"]["code"])


async def test_what_was_reserved_before_midnight_is_booked_there_when_it_is_settled_after_it(
    shop: Running, shared_relay: RunningSandbox, name: str, clock: Clock
) -> None:
    key = await shop.key(name)
    await shop.limit("user", name, "micros", "day", 2 * YUAN)
    midnight_ms = ms("2027-03-02T00:00")

    async with opened(shop.url, key.key) as client:
        clock.set(midnight_ms - 60_000)
        asking = asyncio.create_task(ask(client, HELD))
        await until(lambda: stands(shop, name, [(0, YUAN)]))
        clock.set(midnight_ms)
        with answering(shared_relay):
            late = await asking
        row = await the_row(shop.database, late)
        assert await used(shop.database, name) == [(YUAN, 0)]
        today = [code(await ask(client)) for _ in range(3)]

    assert (row["state"], row["cost_micros"]) == ("settled", YUAN)
    assert row["reserved_at_ms"] < midnight_ms <= row["ended_at_ms"]
    assert today == [None, None, "insufficient_quota"]  # The new day had all its room.
    assert await used(shop.database, name) == [(YUAN, 0), (2 * YUAN, 0)]
    assert await days(shop, name) == {"2027-03-01": (1, YUAN), "2027-03-02": (2, 2 * YUAN)}
    await assert_books_agree(shop.database)


async def days(shop: Running, name: str) -> dict[str, tuple[int, int]]:
    """Requests and cost of each local day, as the roll-up has them."""
    columns = (usage.c.day, sa.func.sum(usage.c.requests), sa.func.sum(usage.c.cost_micros))
    mine = usage.c.user_id == await user_id(shop.database, name)
    async with shop.database.read() as connection:
        rows = await connection.execute(sa.select(*columns).where(mine).group_by(usage.c.day))
        return {day: (int(requests), int(cost)) for day, requests, cost in rows}


async def test_a_hold_of_yesterday_takes_no_room_today(
    shop: Running, shared_relay: RunningSandbox, name: str, clock: Clock
) -> None:
    key = await shop.key(name)
    await shop.limit("user", name, "images", "day", 1)
    clock.set(ms("2027-03-05T00:00") - 30_000)

    async with opened(shop.url, key.key) as client:
        slow = asyncio.create_task(ask(client, HELD))
        await until(lambda: stands(shop, name, [(0, 1)], "images"))
        clock.set(ms("2027-03-05T00:00"))
        assert [code(await ask(client)) for _ in range(2)] == [None, "insufficient_quota"]
        with answering(shared_relay):
            assert code(await slow) is None

    assert await used(shop.database, name, "images") == [(1, 0), (1, 0)]
    await assert_books_agree(shop.database)


async def test_a_refusal_tells_when_the_interval_ends(shop: Running, name: str, clock: Clock) -> None:
    key = await shop.key(name)
    await shop.limit("user", name, "micros", "month", 0)
    clock.set(ms("2027-02-28T23:00"))

    async with opened(shop.url, key.key) as client:
        answer = await ask(client)

    assert "resets 2027-03-01T00:00:00+08:00" in answer.json()["error"]["message"]
    assert "0.00 CNY left of 0.00 CNY" in answer.json()["error"]["message"]
    assert "1.00 CNY" in answer.json()["error"]["message"]
    assert 3590 <= int(answer.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 3600


async def test_a_limit_may_be_lowered_below_what_is_spent_and_raised_again(shop: Running, name: str) -> None:
    key = await shop.key(name)
    shop.gateway.clock.set(await shop.database.now_ms())  # `limits show` goes by the database's time.
    await shop.limit("user", name, "micros", "lifetime", 5 * YUAN)

    async with opened(shop.url, key.key) as client:
        assert [code(await ask(client)) for _ in range(3)] == [None] * 3
        await shop.limit("user", name, "micros", "lifetime", 2 * YUAN)
        over = await state(shop, name)
        refused = await ask(client)
        await shop.limit("user", name, "micros", "lifetime", 4 * YUAN)
        assert [code(await ask(client)) for _ in range(2)] == [None, "insufficient_quota"]

    assert (over.limit.amount, over.spent, over.held, over.left) == (2 * YUAN, 3 * YUAN, 0, -YUAN)
    assert code(refused) == "insufficient_quota"
    assert "0.00 CNY left of 2.00 CNY" in refused.json()["error"]["message"]
    assert (await state(shop, name)).left == 0
    await assert_books_agree(shop.database)


async def test_a_limit_lowered_while_a_request_runs_lets_it_end(
    shop: Running, shared_relay: RunningSandbox, name: str
) -> None:
    key = await shop.key(name)
    await shop.limit("user", name, "micros", "lifetime", YUAN)

    async with opened(shop.url, key.key) as client:
        running = asyncio.create_task(ask(client, HELD))
        await until(lambda: stands(shop, name, [(0, YUAN)]))
        await shop.limit("user", name, "micros", "lifetime", 0)
        with answering(shared_relay):
            answer = await running
        refused = await ask(client)

    assert (answer.status_code, answer.headers["x-imagegate-spend-remaining"]) == (200, "-1.00")
    assert code(refused) == "insufficient_quota"
    assert await used(shop.database, name) == [(YUAN, 0)]
    assert (await state(shop, name)).left == -YUAN


async def test_a_limit_removed_and_set_again_remembers_what_was_booked_on_it(
    shop: Running, shared_relay: RunningSandbox, name: str
) -> None:
    key = await shop.key(name)
    await shop.limit("user", name, "micros", "lifetime", 3 * YUAN)

    async with opened(shop.url, key.key) as client:
        assert code(await ask(client)) is None
        running = asyncio.create_task(ask(client, HELD))
        await until(lambda: stands(shop, name, [(YUAN, YUAN)]))
        await shop.limit("user", name, "micros", "lifetime", None)
        free = [await ask(client) for _ in range(2)]  # No limit, so nothing to count on.
        with answering(shared_relay):
            assert [code(answer) for answer in [await running, *free]] == [None] * 3
        assert all("x-imagegate-spend-remaining" not in answer.headers for answer in free)
        await shop.limit("user", name, "micros", "lifetime", 3 * YUAN)
        assert [code(await ask(client)) for _ in range(2)] == [None, "insufficient_quota"]

    assert await used(shop.database, name) == [(3 * YUAN, 0)]
    assert len([c for c in await limited(shop.database) if c["scope_id"] == await user_id(shop.database, name)]) == 1
    await assert_books_agree(shop.database)


async def test_50_at_once_open_one_new_interval_and_share_its_room(shop: Running, name: str, clock: Clock) -> None:
    key = await shop.key(name)
    for scope, owner in (("user", name), ("key", key.id), ("organization", "")):
        for interval in ("day", "week", "month"):
            await shop.limit(scope, owner, "images", interval, 20 if scope == "user" else 10**6)  # type: ignore[arg-type]
    clock.set(ms("2027-11-01T00:00") + 10)  # A Monday: all three begin.

    async with opened(shop.url, key.key) as client:
        answers = await asyncio.gather(*(ask(client) for _ in range(50)))
    for interval in ("day", "week", "month"):
        await shop.limit("organization", "", "images", interval, None)  # type: ignore[arg-type]

    assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 30}
    mine = [c for c in await limited(shop.database) if c["scope_id"] in (key.id, await user_id(shop.database, name))]
    assert {c["starts_at_ms"] for c in mine} == {ms("2027-11-01T00:00")}
    assert [(c["spent"], c["held"]) for c in mine] == [(20, 0)] * 6
    await assert_nothing_held(shop.database)
    await assert_books_agree(shop.database)


@pytest.mark.parametrize("interval", ["day", "week", "month"])
async def test_the_last_millisecond_counts_to_the_old_interval_and_the_next_to_the_new_one(
    shop: Running, name: str, clock: Clock, interval: str
) -> None:
    """An order's slots are those of its own instant."""
    key = await shop.key(name)
    await shop.limit("user", name, "requests", interval, 1)  # type: ignore[arg-type]
    start_ms, end_ms = bounds_ms(interval, ms("2028-02-29T12:00"), ZONE)  # type: ignore[arg-type]
    assert end_ms is not None

    async with opened(shop.url, key.key) as client:
        codes = []
        for at_ms in (end_ms - int(timedelta(minutes=1).total_seconds() * 1000), end_ms - 60_000, end_ms, end_ms):
            clock.set(at_ms)
            codes.append(code(await ask(client)))

    assert codes == [None, "insufficient_quota", None, "insufficient_quota"]
    mine = [c for c in await limited(shop.database) if c["scope_id"] == await user_id(shop.database, name)]
    assert sorted(c["starts_at_ms"] for c in mine) == [start_ms, end_ms]
