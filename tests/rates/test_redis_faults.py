"""A Redis that is absent, dying, frozen, full or strange costs no request and little time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine

import pytest
from structlog.testing import capture_logs

from app.rates import MemoryRates, RateCharge, open_rates
from app.rates.redis import STEP_TIMEOUT_S, RedisRates, connect
from tests.rates.stores import FakeClock, granted_times, requests
from tests.server import free_port
from tests.servers import RedisServer

LIMIT = requests(3)
LIMIT_KEY = "{imagegate:rates}:lim:1"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def patience_s(request: pytest.FixtureRequest) -> float:
    """How long a step of Redis may take: long, as a busy machine is no failure, unless it is frozen or that is what is tried."""
    return STEP_TIMEOUT_S if "herd" in request.node.name else 0.5 if "frozen" in request.node.name else 60


@pytest.fixture
async def open_to(clock: FakeClock, patience_s: float) -> AsyncIterator[Callable[[str], RedisRates]]:
    opened: list[RedisRates] = []

    def open_at(url: str) -> RedisRates:
        patient = {"call_timeout_s": 2 * patience_s, "total_timeout_s": 4 * patience_s}
        opened.append(RedisRates(connect(url, step_timeout_s=patience_s), clock, **patient))
        return opened[-1]

    yield open_at
    for rates in opened:
        await rates.close()


@pytest.fixture
async def rates(open_to: Callable[[str], RedisRates], breakable_redis: RedisServer) -> RedisRates:
    """Rates that have spoken to their Redis already."""
    opened = open_to(breakable_redis.url)
    assert await opened.check() == "redis"
    return opened


def finish_without_waiting(call: Coroutine[object, object, int]) -> int:
    """Result of a call that awaits nothing which is not ready. Raises AssertionError for any other."""
    try:
        call.send(None)
    except StopIteration as end:
        value: int = end.value
        return value
    call.close()
    raise AssertionError("it waited")


async def test_without_a_redis_at_start_the_local_limiter_decides(open_to: Callable[[str], RedisRates]) -> None:
    absent = open_to(f"redis://127.0.0.1:{free_port()}/0")

    assert await granted_times(absent, LIMIT, tries=5) == 3
    assert await absent.check() == "degraded: local limits, Redis ConnectionError"


async def test_a_redis_that_comes_later_takes_over(
    open_to: Callable[[str], RedisRates], breakable_redis: RedisServer, clock: FakeClock
) -> None:
    breakable_redis.kill()
    rates = open_to(breakable_redis.url)
    await granted_times(rates, LIMIT, tries=1)

    breakable_redis.start()
    clock.advance(1)

    assert await rates.check() == "redis"


async def test_killed_and_restarted_changes_are_logged_once_each_way(
    rates: RedisRates, breakable_redis: RedisServer, clock: FakeClock
) -> None:
    with capture_logs() as lines:
        breakable_redis.kill()
        await granted_times(rates, LIMIT, tries=20)
        clock.advance(1)
        await granted_times(rates, LIMIT, tries=20)
        breakable_redis.start()
        clock.advance(2)
        await granted_times(rates, LIMIT, tries=20)

    assert [line["event"] for line in lines] == ["rates_degraded", "rates_restored"]
    assert await rates.check() == "redis"


async def test_the_switch_does_not_give_the_minute_out_twice(rates: RedisRates, breakable_redis: RedisServer) -> None:
    assert await granted_times(rates, LIMIT, tries=2) == 2

    breakable_redis.kill()

    assert await granted_times(rates, LIMIT, tries=5) == 1


async def test_a_frozen_redis_costs_one_wait_and_not_one_per_request(
    rates: RedisRates, breakable_redis: RedisServer, clock: FakeClock
) -> None:
    breakable_redis.pause()
    verdicts = await asyncio.gather(*(rates.spend([RateCharge(LIMIT, 1)]) for _ in range(200)))
    later = finish_without_waiting(granted_times(rates, LIMIT, tries=200))
    breakable_redis.resume()
    clock.advance(1)

    assert [verdict.granted for verdict in verdicts].count(True) == 3
    assert later == 0
    assert await rates.check() == "redis"


@pytest.mark.slow  # The time in which a call counts as broken is short: other tests beside it break it.
async def test_a_herd_of_our_own_does_not_pass_for_a_broken_redis(rates: RedisRates) -> None:
    herd = [RateCharge(requests(10_000, f"lim:{number}"), 1) for number in range(4)]

    verdicts = await asyncio.gather(*(rates.spend(herd) for _ in range(400)))

    assert all(verdict.granted for verdict in verdicts)
    assert await rates.check() == "redis"
    assert (await rates.spend(herd)).states[0].remaining == 9599


async def test_a_frozen_redis_does_not_keep_close_waiting(rates: RedisRates, breakable_redis: RedisServer) -> None:
    breakable_redis.pause()

    async with asyncio.timeout(30):  # Without an end of its own, either would wait as long as the Redis is frozen.
        await rates.spend([RateCharge(LIMIT, 1)])
        await rates.close()

    breakable_redis.resume()


@pytest.mark.parametrize(
    ("breaking", "mending"),
    [
        pytest.param("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", id="full"),
        pytest.param("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", id="read-only"),
    ],
)
async def test_a_redis_that_refuses_to_write_is_replaced_until_it_is_mended(
    rates: RedisRates, breakable_redis: RedisServer, clock: FakeClock, breaking: str, mending: str
) -> None:
    await tell(breakable_redis.url, breaking)
    assert await granted_times(rates, LIMIT, tries=5) == 3
    assert (await rates.check()).startswith("degraded: local limits, Redis ")

    await tell(breakable_redis.url, mending)
    clock.advance(1)

    assert await rates.check() == "redis"


@pytest.mark.parametrize("credentials", ["", ":wrong@", "nobody:secret@"])
async def test_a_redis_that_does_not_let_us_in_is_replaced_and_its_password_is_not_told(
    open_to: Callable[[str], RedisRates], breakable_redis: RedisServer, credentials: str
) -> None:
    await tell(breakable_redis.url, "CONFIG SET requirepass secret")
    rates = open_to(breakable_redis.url.replace("//", f"//{credentials}"))

    with capture_logs() as lines:
        assert await granted_times(rates, LIMIT, tries=5) == 3

    assert await rates.check() == "degraded: local limits, Redis AuthenticationError"
    assert [line["event"] for line in lines] == ["rates_degraded"]
    assert "wrong" not in str(lines).replace("wrong number", "")
    assert "secret" not in str(lines)


async def test_a_wrong_type_at_a_key_is_answered_by_the_local_limiter(
    rates: RedisRates, breakable_redis: RedisServer
) -> None:
    await tell(breakable_redis.url, f"RPUSH {LIMIT_KEY} x")

    assert await granted_times(rates, LIMIT, tries=5) == 3


async def test_a_wrong_type_on_one_key_leaves_the_other_limits_untouched(
    rates: RedisRates, breakable_redis: RedisServer, clock: FakeClock
) -> None:
    other = requests(2, "lim:9")
    await tell(breakable_redis.url, f"RPUSH {LIMIT_KEY} x")
    await rates.spend([RateCharge(other, 1), RateCharge(LIMIT, 1)])
    clock.advance(1)

    look = await rates.spend([RateCharge(other, 0)])

    assert await rates.check() == "redis"
    assert look.states[0].remaining == 2


async def test_a_spend_whose_answer_is_lost_is_not_sent_again(open_to: Callable[[str], RedisRates]) -> None:
    spends: list[bytes] = []

    async def hang_up_on_spends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while heard := await reader.read(65536):
            if b"EVALSHA" in heard:
                spends.append(heard)
                break
            writer.write(b"+OK\r\n" * heard.count(b"SETINFO"))
        writer.close()

    async with await asyncio.start_server(hang_up_on_spends, "127.0.0.1", port := free_port()):
        verdict = await open_to(f"redis://127.0.0.1:{port}/0").spend([RateCharge(LIMIT, 1)])

    assert verdict.granted
    assert len(spends) == 1


async def test_a_flushed_script_is_loaded_again_without_a_failure(
    rates: RedisRates, breakable_redis: RedisServer
) -> None:
    await tell(breakable_redis.url, "SCRIPT FLUSH")

    with capture_logs() as lines:
        assert await granted_times(rates, LIMIT, tries=5) == 3

    assert lines == []


async def test_two_processes_share_one_limit(
    open_to: Callable[[str], RedisRates], breakable_redis: RedisServer
) -> None:
    one, other = open_to(breakable_redis.url), open_to(breakable_redis.url)

    assert await granted_times(one, LIMIT, tries=2) == 2
    assert await granted_times(other, LIMIT, tries=2) == 1


async def test_keys_expire_by_themselves_and_share_one_hash_tag(
    rates: RedisRates, breakable_redis: RedisServer
) -> None:
    await rates.spend(
        [RateCharge(LIMIT, 1), RateCharge(requests(5, "lim:9"), 1), RateCharge(requests(5, "looked at"), 0)]
    )

    async with connect(breakable_redis.url) as client:
        keys = {key: await client.pttl(key) for key in await client.keys("*")}

    assert set(keys) == {b"{imagegate:rates}:lim:1", b"{imagegate:rates}:lim:9", b"{imagegate:rates}:check"}
    assert all(55_000 < ttl_ms <= 60_000 for ttl_ms in keys.values())


async def test_a_server_clock_set_back_an_hour_blocks_for_a_minute_at_most(
    rates: RedisRates, breakable_redis: RedisServer
) -> None:
    hour_ahead_us = (int(time.time()) + 3600) * 1_000_000
    async with connect(breakable_redis.url) as client:
        await client.set(LIMIT_KEY, f"{hour_ahead_us} 1 {hour_ahead_us + 5_000_000} 2")

        refused = await rates.spend([RateCharge(LIMIT, 1)])
        redated = [int(word) for word in (await client.get(LIMIT_KEY) or b"").split()]

    assert refused.retry_after_s == 60
    assert redated[1:] == [3]
    assert redated[0] <= (time.time() + 1) * 1_000_000


async def test_what_is_opened_depends_on_the_url_alone() -> None:
    shared = open_rates("redis://127.0.0.1:1/0")

    assert isinstance(open_rates(None), MemoryRates)
    assert isinstance(shared, RedisRates)
    await shared.close()


def test_a_url_that_is_no_redis_url_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="scheme"):
        open_rates("http://localhost")


async def tell(url: str, command: str) -> None:
    """Say something to a server as its administrator would."""
    async with connect(url) as client:
        await client.execute_command(*command.split())  # type: ignore[no-untyped-call]
