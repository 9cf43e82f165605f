"""Calls of one key that ask for the same, told apart by nothing but how often each was tried: no more is bought than was called."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from app.store.engine import Database
from app.store.ledger.opening import LedgerConnections, open_ledger_and_retries
from app.store.ledger.retries import _FIND
from app.store.ledger.types import Reserved
from tests.store.purchasing import ENDING, NOW_MS, Desk

KEY = "key_1"
SEEDS = 200
CALLS = 4
TRIES = 4


@dataclass
class Twins:
    """Calls that ask for the same. `bought` are the requests that may have been charged."""

    opened: LedgerConnections
    desk: Desk
    fingerprint: bytes = b"\x80" * 32
    bought: set[str] = field(default_factory=set)

    async def adopt(self, count: int) -> str | None:
        return await self.opened.retries.adopt(KEY, self.fingerprint, count, NOW_MS)

    async def refuse(self, count: int) -> None:
        await self.opened.retries.note_refusal(KEY, self.fingerprint, count, NOW_MS)

    async def buy(self, count: int, idempotency_key: str | None = None) -> str:
        order = await self.desk.order(fingerprint=self.fingerprint, tries=count + 1, idempotency_key=idempotency_key)
        assert await self.opened.ledger.reserve(order) == Reserved()
        self.bought.add(order.request_id)
        return order.request_id

    async def release(self, request_id: str, *, is_retryable: bool = True) -> None:
        assert await self.opened.ledger.release(request_id, replace(ENDING, at_ms=NOW_MS, is_retryable=is_retryable))
        self.bought.discard(request_id)

    async def come(self, count: int, chance: random.Random) -> None:
        """A try that arrives: it joins an original, or is refused, or buys and perhaps is released."""
        if count and await self.adopt(count) is not None:
            return
        if chance.random() < 0.4:
            await self.refuse(count)
            return
        request_id = await self.buy(count)
        if chance.random() < 0.3:
            await self.release(request_id, is_retryable=chance.random() < 0.5)


@pytest.fixture
async def twins(database: Database) -> AsyncIterator[Twins]:
    opened = open_ledger_and_retries(database.where, 10)
    yield Twins(opened, Desk(database, opened.ledger))
    await opened.ledger.close()


async def test_the_retry_after_a_lost_one_is_the_one_whose_first_try_was_refused(twins: Twins) -> None:
    await twins.refuse(0)
    original = await twins.buy(0)

    assert await twins.adopt(2) is None
    await twins.buy(2)

    assert await twins.adopt(1) == original


async def test_the_retry_after_a_lost_one_is_the_one_whose_first_try_was_released(twins: Twins) -> None:
    await twins.release(await twins.buy(0))
    original = await twins.buy(0)

    assert await twins.adopt(2) is None
    await twins.buy(2)

    assert await twins.adopt(1) == original


async def test_nobody_takes_a_release_for_its_own_that_none_will_follow(twins: Twins) -> None:
    await twins.release(await twins.buy(0), is_retryable=False)
    await twins.release(await twins.buy(0, "order-1"))
    original = await twins.buy(0)

    assert await twins.adopt(1) == original


async def test_a_try_that_came_later_belongs_to_the_call_that_got_further(twins: Twins) -> None:
    await twins.refuse(0)
    original = await twins.buy(1)

    assert await twins.adopt(2) == original
    assert await twins.adopt(1) is None


@pytest.mark.parametrize("originals", [0, 1])
async def test_those_that_come_at_once_take_one_thing_each(twins: Twins, originals: int) -> None:
    for number in range(10):
        some = replace(twins, fingerprint=number.to_bytes(32))
        await some.refuse(0)
        await some.refuse(0)
        left = [await some.buy(1) for _ in range(originals)]

        found = await asyncio.gather(*(some.adopt(2) for _ in range(2 + originals)))

        assert sorted(found, key=str) == [None, None, *left]
        fresh = await some.buy(0)
        assert await some.adopt(1) == fresh


async def test_a_retry_reads_a_handful_of_rows_however_many_its_key_has(sqlite_database: Database) -> None:
    async with sqlite_database.read() as connection:
        plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {_FIND}", (KEY, b"", 1, NOW_MS, NOW_MS))
        steps = [row.detail for row in plan]

    assert "USING INDEX ix_requests_fingerprint" in steps[0]


async def test_whatever_is_lost_refused_or_released_no_more_is_bought_than_was_called(twins: Twins) -> None:
    for seed in range(SEEDS):
        chance, some = random.Random(seed), replace(twins, fingerprint=seed.to_bytes(32), bought=set())
        tries, came = [0] * CALLS, set()
        while left := [call for call in range(CALLS) if tries[call] < TRIES]:
            trying = chance.sample(left, min(len(left), chance.randint(1, 2)))
            arriving = [call for call in trying if chance.random() < 0.7]
            came.update(arriving)
            await asyncio.gather(*(some.come(tries[call], chance) for call in arriving))
            for call in trying:
                tries[call] += 1

            assert len(some.bought) <= len(came), f"seed {seed}: {len(came)} calls came, after {tries} tries each"
