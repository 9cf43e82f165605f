"""The promises of Rates, the same on memory and on Redis."""

import asyncio

from app.rates import RateCharge
from tests.rates.stores import Store, granted_times, images, requests


async def test_exactly_the_amount_passes_in_a_minute(store: Store) -> None:
    assert await granted_times(store.rates, requests(3), tries=5) == 3


async def test_the_whole_amount_is_there_again_after_a_minute(store: Store) -> None:
    await granted_times(store.rates, requests(3), tries=3)

    await store.let_pass(60)

    assert await granted_times(store.rates, requests(3), tries=4) == 3


async def test_what_was_spent_comes_back_second_by_second(store: Store) -> None:
    for _ in range(3):
        await store.rates.spend([RateCharge(requests(3), 1)])
        await store.let_pass(1)

    await store.let_pass(57)

    assert await granted_times(store.rates, requests(3), tries=2) == 1


async def test_no_burst_passes_around_the_edge_of_a_minute(store: Store) -> None:
    await store.let_pass(59 - (await store.now_us()) // 1_000_000 % 60)
    await granted_times(store.rates, requests(10), tries=10)

    await store.let_pass(30)

    assert await granted_times(store.rates, requests(10), tries=10) == 0


async def test_an_image_request_costs_its_n(store: Store) -> None:
    limit = images(10)

    first = await store.rates.spend([RateCharge(limit, 4)])
    second = await store.rates.spend([RateCharge(limit, 7)])
    third = await store.rates.spend([RateCharge(limit, 6)])

    assert (first.granted, first.states[0].remaining) == (True, 6)
    assert (second.granted, second.states[0].remaining) == (False, 6)
    assert (third.granted, third.states[0].remaining) == (True, 0)


async def test_a_refused_request_burns_nothing_of_any_limit(store: Store) -> None:
    wide, tight = requests(5), images(4)
    await store.rates.spend([RateCharge(wide, 1), RateCharge(tight, 3)])

    refused = await store.rates.spend([RateCharge(wide, 1), RateCharge(tight, 2)])

    assert not refused.granted
    assert refused.refused is not None
    assert refused.refused.limit == tight
    assert [state.remaining for state in refused.states] == [4, 1]
    look = await store.rates.spend([RateCharge(wide, 0), RateCharge(tight, 0)])
    assert [state.remaining for state in look.states] == [4, 1]


async def test_retry_after_is_true_for_the_limit_that_takes_longest(store: Store) -> None:
    early, late = requests(1), images(4)
    await store.rates.spend([RateCharge(early, 1)])
    await store.let_pass(20)
    await store.rates.spend([RateCharge(late, 4)])
    await store.let_pass(10)

    refused = await store.rates.spend([RateCharge(early, 1), RateCharge(late, 1)])

    assert refused.refused is not None
    assert refused.refused.limit == late
    assert refused.retry_after_s == 50
    await store.let_pass(48)
    assert not (await store.rates.spend([RateCharge(early, 1), RateCharge(late, 1)])).granted
    await store.let_pass(2)
    assert (await store.rates.spend([RateCharge(early, 1), RateCharge(late, 1)])).granted


async def test_retry_after_waits_only_for_what_is_missing(store: Store) -> None:
    limit = images(4)
    await store.rates.spend([RateCharge(limit, 1)])
    await store.let_pass(25)
    await store.rates.spend([RateCharge(limit, 3)])

    assert (await store.rates.spend([RateCharge(limit, 1)])).retry_after_s == 35
    assert (await store.rates.spend([RateCharge(limit, 2)])).retry_after_s == 60


async def test_more_than_the_whole_amount_is_refused_by_name_with_60_seconds(store: Store) -> None:
    spent, small = requests(1), images(2)
    await store.rates.spend([RateCharge(spent, 1)])

    refused = await store.rates.spend([RateCharge(spent, 1), RateCharge(small, 3)])

    assert refused.refused is not None
    assert (refused.refused.limit, refused.retry_after_s) == (small, 60)


async def test_an_amount_of_zero_lets_nothing_pass(store: Store) -> None:
    refused = await store.rates.spend([RateCharge(requests(0), 1)])

    assert (refused.granted, refused.retry_after_s) == (False, 60)


async def test_a_look_costs_nothing_and_tells_remaining_and_reset(store: Store) -> None:
    limit = images(5)
    untouched = await store.rates.spend([RateCharge(limit, 0)])
    await store.rates.spend([RateCharge(limit, 2)])
    await store.let_pass(15)

    look = await store.rates.spend([RateCharge(limit, 0)])

    assert (untouched.states[0].remaining, untouched.states[0].reset_s) == (5, 0)
    assert (look.granted, look.states[0].remaining) == (True, 3)
    assert 44 < look.states[0].reset_s <= 45


async def test_a_lowered_limit_holds_at_once_and_shows_no_negative_rest(store: Store) -> None:
    await store.rates.spend([RateCharge(images(10), 8)])

    refused = await store.rates.spend([RateCharge(images(5), 1)])
    look = await store.rates.spend([RateCharge(images(5), 0)])

    assert (refused.granted, refused.states[0].remaining) == (False, 0)
    assert look.granted


async def test_limits_do_not_share_what_is_spent(store: Store) -> None:
    assert await granted_times(store.rates, requests(2, "lim:1"), tries=3) == 2
    assert await granted_times(store.rates, requests(2, "lim:11"), tries=3) == 2


async def test_a_request_without_limits_passes(store: Store) -> None:
    passed = await store.rates.spend([])

    assert (passed.granted, passed.states, passed.retry_after_s) == (True, (), 0)


async def test_concurrent_spends_never_exceed_any_limit(store: Store) -> None:
    wide, tight = requests(40), images(60)

    verdicts = await asyncio.gather(
        *(store.rates.spend([RateCharge(wide, 1), RateCharge(tight, 2)]) for _ in range(200))
    )

    assert [verdict.granted for verdict in verdicts].count(True) == 30
    assert verdicts[-1].states[0].remaining == 10
