"""Places at relays: by weight, within their bounds, in the order of the queue, and not where it costs money for nothing."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.core.relays import Relay
from app.errors import ConfigurationError, Overloaded, RelayPaused, UpstreamMisconfigured
from app.upstream.breaker import FAILURES_MAX, SLOW, BreakerRules
from app.upstream.client import HttpUpstream
from app.upstream.pool import PoolRules, RelayPool

NOWHERE = "http://127.0.0.1:9"
MODEL = "gpt-image-1"


def connect(relay: Relay) -> HttpUpstream:
    if relay.base_url is None:
        raise ConfigurationError("It has no address.")
    return HttpUpstream(relay.base_url, "sk-a-key-of-a-relay")


@pytest.fixture
async def pool() -> AsyncIterator[RelayPool]:
    pool = RelayPool(HttpUpstream(NOWHERE, ""), connect, PoolRules(2, 30, BreakerRules(pause_s=0)))
    yield pool
    await pool.close()


def relay(name: str, *, weight: int = 1, concurrent: int | None = None, key: bytes = b"1") -> Relay:
    return Relay(name, NOWHERE, key, weight=weight, concurrent=concurrent)


async def fail(pool: RelayPool, relay: Relay) -> None:
    """Let the breaker open because money was spent for nothing."""
    for lease in [await pool.lease(MODEL, [relay]) for _ in range(FAILURES_MAX["costly"])]:
        lease.end("costly", "upstream_outcome_unknown")


async def test_relays_get_requests_by_their_weight(pool: RelayPool) -> None:
    relays = [relay("a", weight=3), relay("b"), relay("c", weight=0)]

    found = Counter([(await pool.lease(MODEL, relays)).relay.name for _ in range(400)])

    assert set(found) == {"a", "b"}
    assert 240 < found["a"] < 360


async def test_what_the_others_have_no_place_for_goes_to_the_one_of_weight_0(pool: RelayPool) -> None:
    relays = [relay("a", concurrent=2), relay("c", weight=0)]

    assert [(await pool.lease(MODEL, relays)).relay.name for _ in range(4)] == ["a", "a", "c", "c"]


async def test_those_that_wait_get_places_in_their_order_and_the_rest_is_refused(pool: RelayPool) -> None:
    only = [relay("a", concurrent=1)]
    first = await pool.lease(MODEL, only)
    second, third = (asyncio.ensure_future(pool.lease(MODEL, only)) for _ in range(2))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="2 more wait") as refusal:
        await pool.lease(MODEL, only)
    first.end("good")
    after = await second
    assert not third.done()
    after.end("good")

    assert (await third).relay.name == "a"
    assert 2 <= (refusal.value.retry_after_s or 0) <= 8
    assert pool.waiting == 0


async def test_a_wait_ends_in_time_and_leaves_no_place_taken(pool: RelayPool) -> None:
    pool.rules, only = PoolRules(5, 0.01), [relay("a", concurrent=1)]
    first = await pool.lease(MODEL, only)

    with pytest.raises(Overloaded, match=r"within 0\.01 s"):
        await pool.lease(MODEL, only)
    cancelled = asyncio.ensure_future(pool.lease(MODEL, only))
    await asyncio.sleep(0)
    first.end("good")  # The place is the waiting one's now, which is cancelled before it has run.
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert (await pool.lease(MODEL, only)).relay.name == "a"
    assert [status.in_flight for status in pool.statuses()] == [1]


async def test_a_place_that_comes_with_the_end_of_the_wait_is_given_back(pool: RelayPool) -> None:
    pool.rules, only = PoolRules(5, 0.01), [relay("a", concurrent=1)]
    first = await pool.lease(MODEL, only)
    late = asyncio.ensure_future(pool.lease(MODEL, only))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.001, first.end, "good")
    time.sleep(0.02)  # Both are due now: the place first, then the end of the wait.

    with pytest.raises(Overloaded):
        await late

    assert [status.in_flight for status in pool.statuses()] == [0]


async def test_no_request_goes_where_it_may_cost_money_for_nothing(pool: RelayPool) -> None:
    a, b = relay("a"), relay("b")
    await fail(pool, a)

    assert {(await pool.lease(MODEL, [a, b])).relay.name for _ in range(20)} == {"b"}
    with pytest.raises(RelayPaused, match=r"the relay \(a\) pause"):
        await pool.lease(MODEL, [a])


async def test_a_relay_that_refuses_for_free_is_tried_where_there_is_no_other(pool: RelayPool) -> None:
    a, b = relay("a"), relay("b")
    (await pool.lease(MODEL, [a])).end("refused", "upstream_wallet_empty")

    assert {(await pool.lease(MODEL, [a, b])).relay.name for _ in range(20)} == {"b"}
    lease = await pool.lease(MODEL, [a])
    lease.end("good")

    assert [status.breaker for status in pool.statuses() if status.name == "a"] == ["closed"]


async def test_refused_prompts_do_not_make_images_seem_slow(pool: RelayPool) -> None:
    lease = await pool.lease(MODEL, [relay("a")])
    usual_s = lease.connection.slow_s(MODEL)

    lease.end("good", "content_policy_violation")

    assert lease.connection.slow_s(MODEL) == usual_s
    assert lease.connection.good_at_s is not None


async def test_one_request_probes_a_half_open_relay(pool: RelayPool) -> None:
    a, b = relay("a"), relay("b")
    connection = (await pool.lease(MODEL, [a])).connection
    await fail(pool, a)
    connection.breaker.hear_probe(None)

    probe = await pool.lease(MODEL, [a, b])
    meanwhile = {(await pool.lease(MODEL, [a, b])).relay.name for _ in range(20)}
    probe.end("good")

    assert (probe.relay.name, meanwhile) == ("a", {"b"})
    assert (await pool.lease(MODEL, [a])).relay.name == "a"


async def test_a_replaced_key_closes_the_breaker_and_the_old_connection_ends_with_its_last_request(
    pool: RelayPool,
) -> None:
    old, new = relay("a"), relay("a", key=b"2")
    running = await pool.lease(MODEL, [old])
    await fail(pool, old)

    lease = await pool.lease(MODEL, [new])

    assert lease.client is not running.client
    assert [(status.breaker, status.in_flight) for status in pool.statuses()] == [("closed", 1)]
    running.end("good")
    assert [status.in_flight for status in pool.statuses()] == [1]


async def test_those_that_wait_go_to_the_relay_as_it_is_by_then(pool: RelayPool) -> None:
    old, new = [relay("a", concurrent=1)], replace(relay("a", concurrent=1, key=b"2"), key_replaced_at_ms=1)
    first = await pool.lease(MODEL, old)
    waiting = asyncio.ensure_future(pool.lease(MODEL, old))
    await asyncio.sleep(0)

    latest = await pool.lease(MODEL, [new])
    first.end("good")
    assert not waiting.done()
    assert pool.client(old[0]) is latest.client, "a request of before the change brings nothing back"
    latest.end("good")

    assert (await waiting).client is latest.client


async def test_those_that_wait_keep_the_relay_where_its_new_connection_cannot_be_made(pool: RelayPool) -> None:
    old = relay("a", concurrent=1)
    first = await pool.lease(MODEL, [old])
    waiting = asyncio.ensure_future(pool.lease(MODEL, [old]))
    await asyncio.sleep(0)

    with pytest.raises(UpstreamMisconfigured):
        await pool.lease(MODEL, [replace(old, base_url=None, key_replaced_at_ms=1)])
    first.end("good")

    assert (await waiting).client is first.client


async def test_more_places_go_to_those_that_wait_first(pool: RelayPool) -> None:
    first = await pool.lease(MODEL, [relay("a", concurrent=1)])
    waiting = asyncio.ensure_future(pool.lease(MODEL, [relay("a", concurrent=1)]))
    await asyncio.sleep(0)

    newcomer = asyncio.ensure_future(pool.lease(MODEL, [relay("a", concurrent=2)]))
    await asyncio.sleep(0)

    assert (first.relay.name, (await waiting).relay.concurrent, newcomer.done()) == ("a", 2, False)
    first.end("good")
    await newcomer


async def test_a_relay_without_a_connection_is_left_out(pool: RelayPool) -> None:
    broken = Relay("b", None, b"1")

    assert {(await pool.lease(MODEL, [relay("a"), broken])).relay.name for _ in range(20)} == {"a"}
    with pytest.raises(UpstreamMisconfigured, match="It has no address"):
        await pool.lease(MODEL, [broken])


async def test_after_a_free_refusal_another_is_taken_only_where_one_is_free(pool: RelayPool) -> None:
    a, b = relay("a"), relay("b", concurrent=1)

    lease = pool.free_elsewhere(MODEL, [a, b], ["a"])

    assert lease is not None
    assert lease.relay.name == "b"
    assert pool.free_elsewhere(MODEL, [a, b], ["a"]) is None
    assert pool.free_elsewhere(MODEL, [a, b], ["a", "b"]) is None


async def test_a_request_of_which_nothing_is_heard_counts_once_as_a_failure(
    pool: RelayPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.upstream.lease.SLOW_S_MIN", 0.0)
    monkeypatch.setattr("app.upstream.lease.USUAL_S", 0.0)
    a = relay("a")
    hung = [await pool.lease(MODEL, [a]) for _ in range(FAILURES_MAX["costly"])]

    async with asyncio.timeout(30):
        while pool.statuses()[0].breaker == "closed":
            await asyncio.sleep(0.001)

    assert pool.statuses()[0].code == SLOW
    for lease in hung[1:]:
        lease.end("costly", "upstream_outcome_unknown")
    assert pool.statuses()[0].breaker == "open"
    hung[0].end("good")
    assert (pool.statuses()[0].breaker, pool.statuses()[0].in_flight) == ("closed", 0)
