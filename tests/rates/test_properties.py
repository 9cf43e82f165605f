"""Random spends: at most the amount in any minute, every Retry-After true, no room withheld for long."""

from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.rates import RateCharge, RateVerdict
from app.rates.limits import WINDOW_US
from tests.rates.stores import MemoryStore, Store, images, requests

steps = st.tuples(
    st.one_of(st.just(0.0), st.floats(0, 3), st.floats(0, 130), st.sampled_from([0.999999, 1.0, 59.999999, 60.0])),
    st.integers(0, 1),
    st.integers(0, 6),
)


@dataclass(frozen=True)
class Grant:
    """What passed, at some time between the two."""

    before_us: int
    after_us: int
    costs: tuple[int, int]


class Client:
    """Spends from two limits, and keeps a book of its own to hold the store to."""

    def __init__(self, store: Store, request_amount: int, image_amount: int) -> None:
        self._store = store
        self._amounts = (request_amount, image_amount)
        self._limits = (requests(request_amount), images(image_amount))
        self.grants: list[Grant] = []

    async def spend(self, costs: tuple[int, int]) -> RateVerdict:
        before_us = await self._store.now_us()
        charges = [RateCharge(limit, cost) for limit, cost in zip(self._limits, costs, strict=True)]
        verdict = await self._store.rates.spend(charges)
        if verdict.granted:
            self.grants.append(Grant(before_us, await self._store.now_us(), costs))
        return verdict

    def can_pass(self, costs: tuple[int, int]) -> bool:
        return all(cost <= amount for cost, amount in zip(costs, self._amounts, strict=True))

    def assert_no_minute_is_overspent(self) -> None:
        for last, final in enumerate(self.grants):
            minute = [grant for grant in self.grants[: last + 1] if final.after_us - grant.before_us < WINDOW_US]
            for index, amount in enumerate(self._amounts):
                assert sum(grant.costs[index] for grant in minute) <= amount

    def used_since(self, index: int, since_us: int) -> int:
        return sum(grant.costs[index] for grant in self.grants if grant.after_us > since_us)

    def must_pass(self, costs: tuple[int, int], now_us: int) -> bool:
        """Whether there is room even when every spend is remembered for a second too long."""
        since_us = now_us - WINDOW_US - 1_000_000
        return all(
            cost == 0 or self.used_since(index, since_us) + cost <= self._amounts[index]
            for index, cost in enumerate(costs)
        )


# Each example starts from an empty store, so the fixture may be shared.
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(moves=st.lists(steps, max_size=25), request_amount=st.integers(0, 5), image_amount=st.integers(1, 12))
async def test_any_minute_holds_at_most_the_amount_and_retry_after_is_true(
    store: Store, moves: list[tuple[float, int, int]], request_amount: int, image_amount: int
) -> None:
    await store.clear()
    client = Client(store, request_amount, image_amount)

    for wait_s, *asked in moves:
        await store.let_pass(wait_s)
        costs = (asked[0], asked[1])
        verdict = await client.spend(costs)
        if not verdict.granted:
            assert 1 <= verdict.retry_after_s <= 60
            await store.let_pass(verdict.retry_after_s)
            assert (await client.spend(costs)).granted == client.can_pass(costs)

    client.assert_no_minute_is_overspent()


@settings(max_examples=300)
@given(moves=st.lists(steps, max_size=60), request_amount=st.integers(0, 5), image_amount=st.integers(1, 12))
async def test_room_is_never_withheld_for_more_than_a_second(
    moves: list[tuple[float, int, int]], request_amount: int, image_amount: int
) -> None:
    store = MemoryStore()
    client = Client(store, request_amount, image_amount)

    for wait_s, *asked in moves:
        await store.let_pass(wait_s)
        costs = (asked[0], asked[1])
        expected = client.must_pass(costs, await store.now_us())
        verdict = await client.spend(costs)
        assert verdict.granted or not expected

    client.assert_no_minute_is_overspent()
