"""Two relays behind one gateway: a free refusal goes on to the other, and nothing is charged twice or judged by the wrong bill."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from app.control.relay_keys import seal_relay_key
from app.core.relays import FACTOR_ONE, Relay
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import DatabaseUrl
from app.store.relays import insert_relay, list_relays, update_relay
from app.store.request_details import refused_dispatches_of
from app.store.tables import refused_dispatches
from app.upstream.breaker import FAILURES_MAX, BreakerRules
from tests.gateways import PEPPER, Running, running_gateway
from tests.money.books import ask, assert_books_agree, assert_nothing_held, opened, the_row, until

OTHER_KEY = "sk-the-key-of-the-other-relay-0123456789abcdefghij"
PRICE = 1_000_000
"""Price of one image of gpt-image-1, in micros."""
LONG_S = 3600.0


@dataclass(frozen=True, slots=True)
class Two:
    """Gateway with the relays `default` (a) and `b`, and a client with a key of its own."""

    running: Running
    a: RunningSandbox
    b: RunningSandbox
    client: httpx2.AsyncClient

    async def change(self, name: str, **fields: Any) -> None:
        """Change a relay in the database, as an administrator does."""
        async with self.running.database.write() as connection:
            relay = (await list_relays(connection))[name]
            await update_relay(connection, replace(relay, **fields))

    @property
    def rules(self) -> BreakerRules:
        return self.running.gateway.relays.rules.breakers

    @property
    def charges(self) -> tuple[int, int]:
        return len(self.a.sandbox.bill), len(self.b.sandbox.bill)

    async def is_released(self) -> bool:
        """True once the newest request is released."""
        return bool((await self.running.rows())[-1]["state"] == "released")

    async def refused(self) -> list[tuple[str, str]]:
        async with self.running.database.read() as connection:
            rows = await connection.execute(sa.select(refused_dispatches.c.relay, refused_dispatches.c.code))
            return [(row.relay, row.code) for row in rows]

    def breaker(self, name: str) -> str:
        return next(each.breaker for each in self.running.gateway.relays.statuses() if each.name == name)


@pytest.fixture
async def other() -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(SandboxOptions(OTHER_KEY, profile="N", latency_scale=0)) as running:
        yield running


@pytest.fixture
async def two(
    tmp_path: Path, database_where: DatabaseUrl, relay: RunningSandbox, other: RunningSandbox
) -> AsyncIterator[Two]:
    """`b` gets only what `default` does not take, so that a test says who is asked first."""
    url = database_where.url or None
    async with running_gateway(tmp_path, relay.base_url, database_url=url) as running:
        rules = running.gateway.relays.rules.breakers
        rules.pause_s, rules.costly_max = 0.05, FAILURES_MAX["costly"]
        async with running.database.write() as connection:
            sealed = seal_relay_key(PEPPER, "b", OTHER_KEY)
            await insert_relay(connection, Relay("b", other.base_url, sealed, "N", weight=0, created_at_ms=1))
        key = await running.key()
        await running.limit("user", "lin", "micros", "month", 1000 * PRICE)
        async with opened(running.url, key.key) as client:
            yield Two(running, relay, other, client)


REFUSALS = {
    "error=wallet": "upstream_wallet_empty",
    "error=unauthorized": "upstream_misconfigured",
    "error=no_channel": "upstream_model_unavailable",
    "error=rate_limited": "upstream_rate_limited",
}


@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_free_refusal_about_the_relay_goes_on_to_the_other(two: Two, fault: str) -> None:
    two.a.sandbox.fault = fault

    answer = await ask(two.client)

    assert (answer.status_code, two.charges) == (200, (0, 1)), answer.text
    row = await the_row(two.running.database, answer)
    assert (row["state"], row["relay"], row["cost_micros"], row["error_code"]) == ("settled", "b", PRICE, None)
    assert await two.refused() == [("default", REFUSALS[fault])]
    [told] = await two.running.database.ask(refused_dispatches_of, row["id"])
    assert (told.relay, told.code) == ("default", REFUSALS[fault]) and told.at_ms <= row["dispatched_at_ms"]
    await assert_books_agree(two.running.database)
    await assert_nothing_held(two.running.database)


async def test_a_relay_that_cannot_be_reached_is_passed_over(two: Two) -> None:
    async with two.running.database.write() as connection:
        await insert_relay(connection, Relay("c", "http://127.0.0.1:9", seal_relay_key(PEPPER, "c", OTHER_KEY)))
    await two.change("default", disabled_at_ms=1)

    assert [(await ask(two.client, f"cat {number}")).status_code for number in range(4)] == [200] * 4

    assert two.charges == (0, 4)
    assert two.breaker("c") == "open"
    assert await two.refused() == [("c", "upstream_unreachable")] * 3


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("error=content_policy", "released"),
        ("reset=before_headers", "unknown"),
        ("body=garbage", "unknown"),
        ("error=panic", "unknown"),
        ("body=truncated", "unknown"),
    ],
)
async def test_a_refusal_of_the_request_and_an_unknown_outcome_go_nowhere_else(
    two: Two, fault: str, state: str
) -> None:
    two.a.sandbox.fault = fault

    answer = await ask(two.client)

    assert answer.status_code >= 400
    assert (two.charges[1], await two.refused()) == (0, [])
    [row] = await two.running.rows()
    assert (row["state"], row["relay"]) == (state, "default")


async def test_the_dearest_relay_is_quoted_and_the_one_that_served_is_booked(two: Two) -> None:
    await two.change("b", price_factor=FACTOR_ONE * 3 // 2)
    quote = await two.client.post("/v1/images/quote", json={"model": "gpt-image-1", "prompt": "a cat"})
    cheap = await ask(two.client)
    two.a.sandbox.fault = "error=wallet"
    dear = await ask(two.client, "a dog")

    rows = [await the_row(two.running.database, each) for each in (cheap, dear)]
    assert [(row["relay"], row["quote_micros"], row["cost_micros"]) for row in rows] == [
        ("default", PRICE * 3 // 2, PRICE),
        ("b", PRICE * 3 // 2, PRICE * 3 // 2),
    ]
    assert quote.json()["amount"] == "1.50"
    assert dear.headers["x-imagegate-cost"] == "1.50"
    await assert_books_agree(two.running.database)


async def test_a_model_of_one_relay_goes_there_and_one_of_none_is_refused(two: Two) -> None:
    await two.change("default", models=frozenset({"imagen4"}))
    await two.change("b", models=frozenset({"gpt-image-1"}))

    there, nowhere = await ask(two.client), await ask(two.client, model="seedream-3.0")

    assert (there.status_code, two.charges) == (200, (0, 1))
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (503, "upstream_model_unavailable")
    await assert_nothing_held(two.running.database)


async def test_garbage_opens_the_breaker_and_the_other_serves(two: Two) -> None:
    two.rules.pause_s = LONG_S
    two.a.sandbox.fault = "body=garbage"

    answers = await asyncio.gather(*(ask(two.client, f"cat {number}") for number in range(60)))
    later = [await ask(two.client, f"dog {number}") for number in range(10)]

    unknown = [row for row in await two.running.rows() if row["state"] == "unknown"]
    assert {row["relay"] for row in unknown} == {"default"}
    assert Counter(each.status_code for each in later) == {200: 10}
    assert Counter(each.status_code for each in answers) == Counter({200: 60 - len(unknown), 424: len(unknown)})


async def test_a_relay_that_is_well_again_is_found_by_itself(two: Two) -> None:
    two.a.sandbox.fault = "body=garbage"
    for number in range(FAILURES_MAX["costly"]):
        await ask(two.client, f"cat {number}")
    assert two.breaker("default") != "closed"
    two.a.sandbox.fault = ""

    async def is_well() -> bool:
        await ask(two.client, "is it well?")
        return two.breaker("default") == "closed"

    await until(is_well)
    assert (await the_row(two.running.database, await ask(two.client, "a bird")))["relay"] == "default"


async def test_one_after_the_other_at_most_ten_are_unknown(two: Two) -> None:
    two.rules.pause_s = LONG_S
    two.a.sandbox.fault = "reset=mid_body"

    found = Counter([(await ask(two.client, f"cat {number}")).status_code for number in range(30)])

    assert found == {424: FAILURES_MAX["costly"], 200: 30 - FAILURES_MAX["costly"]}


async def test_without_another_relay_requests_pause_and_nothing_is_bought_meanwhile(two: Two) -> None:
    two.rules.pause_s = LONG_S
    await two.change("b", disabled_at_ms=1)
    two.a.sandbox.fault = "body=garbage"
    for number in range(FAILURES_MAX["costly"]):
        assert (await ask(two.client, f"cat {number}")).status_code == 424
    charges = two.charges

    refused = await ask(two.client, "one more")

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "relay_paused")
    assert "retry-after" in refused.headers
    assert two.charges == charges
    await until(two.is_released)  # In the background, when the refusal has been sent.


async def test_requests_wait_for_a_place_and_are_all_served(two: Two) -> None:
    await two.change("default", concurrent=2)
    await two.change("b", disabled_at_ms=1)
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, *(each.in_flight for each in two.running.gateway.relays.statuses()), 0)
            await asyncio.sleep(0.002)

    watching = asyncio.ensure_future(watch())
    answers = await asyncio.gather(*(ask(two.client, f"cat {n} [[sandbox delay=0.05]]") for n in range(20)))
    watching.cancel()

    assert {answer.status_code for answer in answers} == {200}
    assert highest == 2
    assert two.charges == (20, 0)
    await assert_nothing_held(two.running.database)


async def test_a_stream_goes_on_to_the_other_relay_too(two: Two) -> None:
    two.a.sandbox.fault = "error=wallet"

    answer = await ask(two.client, stream=True)

    assert answer.status_code == 200
    assert "image_generation.completed" in answer.text
    assert two.charges == (0, 1)


async def test_an_error_inside_an_answer_that_began_goes_nowhere_else(two: Two) -> None:
    """Its bytes are in the file of the answer already, which must be that of one relay."""
    await two.change("default", weight=0)
    await two.change("b", weight=1)
    two.b.sandbox.fault = "sse=error code=insufficient_user_quota partials=0"

    answer = await ask(two.client, stream=True)

    assert "insufficient_user_quota" in answer.text or "upstream_wallet_empty" in answer.text
    assert (two.charges[0], await two.refused()) == (0, [])


async def test_the_id_of_a_refusal_is_not_taken_for_that_of_the_next_relay(two: Two) -> None:
    await two.change("b", disabled_at_ms=1)
    async with two.running.database.write() as connection:
        sealed = seal_relay_key(PEPPER, "c", OTHER_KEY)
        await insert_relay(connection, Relay("c", two.b.base_url, sealed, "N", weight=0))
    two.a.sandbox.fault, two.b.sandbox.fault = "error=rate_limited", "reset=before_headers"

    answer = await ask(two.client)

    row = await the_row(two.running.database, answer)
    assert (row["state"], row["relay"], row["upstream_request_id"]) == ("unknown", "c", None)


async def test_a_disabled_relay_gets_nothing_from_the_next_request_on(two: Two) -> None:
    assert (await ask(two.client)).status_code == 200
    await two.change("default", disabled_at_ms=1)

    assert (await ask(two.client, "a dog")).status_code == 200
    assert two.charges == (1, 1)
