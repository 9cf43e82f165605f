"""Retries of an SDK without a key: each finds the try before it."""

import asyncio

from tests.held import HELD, answering
from tests.images.client import LARGE, SMALL, Client, until


async def test_a_retry_of_a_finished_try_gets_its_picture(client: Client) -> None:
    first = await client.ask(LARGE, retry=0)

    again = await client.ask(LARGE, retry=1)

    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert client.charges == 1


async def test_a_retry_of_a_running_try_attaches_to_it(client: Client) -> None:
    body, places = LARGE | {"prompt": HELD}, client.gateway.gateway.image_service.places
    asking = [asyncio.create_task(client.ask(body, retry=0))]
    await until(lambda: len(client.relay.sandbox.seen) == 1)
    for retry in (1, 2):
        asking.append(asyncio.create_task(client.ask(body, retry=retry)))
        await until(lambda: places.attached == len(asking) - 1)

    with answering(client.relay):
        answers = await asyncio.gather(*asking)

    assert len({answer.content for answer in answers}) == 1
    assert client.charges == 1


async def test_first_tries_always_buy(client: Client) -> None:
    await asyncio.gather(*(client.ask(SMALL, retry=0) for _ in range(3)))

    assert client.charges == 3


async def test_each_original_is_joined_by_one_retry_of_each_number(client: Client) -> None:
    await client.ask(SMALL, retry=0)
    await client.ask(SMALL, retry=0)

    answers = [await client.ask(SMALL, retry=1) for _ in range(3)]

    assert ["idempotent-replayed" in answer.headers for answer in answers] == [True, True, False]
    assert client.charges == 3


async def test_a_retry_that_we_refused_itself_does_not_make_the_next_one_buy(client: Client) -> None:
    await client.ask(SMALL, retry=0)
    image_service = client.gateway.gateway.image_service
    image_service.draining = True
    refused = await client.ask(SMALL, retry=1)
    image_service.draining = False

    answer = await client.ask(SMALL, retry=2)

    assert refused.status_code == 503
    assert answer.headers["idempotent-replayed"] == "true"
    assert client.charges == 1


async def test_a_retry_of_an_unknown_outcome_is_told_so(client: Client) -> None:
    body = SMALL | {"prompt": "[[sandbox body=truncated]]"}
    await client.ask(body, retry=0)

    answer = await client.ask(body, retry=1)

    assert answer.status_code == 424
    assert client.charges == 1


async def test_a_retry_of_a_released_try_buys(client: Client) -> None:
    body = SMALL | {"prompt": "[[sandbox error=rate_limited]]"}
    await client.ask(body, retry=0)

    answer = await client.ask(body, retry=1)

    assert answer.status_code == 429
    assert len(client.relay.sandbox.seen) == 2


async def test_no_retry_looks_for_a_request_that_was_refused_for_good(client: Client) -> None:
    await client.ask(SMALL | {"prompt": "[[sandbox error=moderation]]"}, retry=0)

    [row] = await client.gateway.rows()
    assert (row["state"], row["fingerprint"]) == ("released", None)


async def test_the_retry_of_a_try_that_we_refused_does_not_take_anothers_picture(client: Client) -> None:
    await client.gateway.limit("user", "lin", "in_flight", "lifetime", 1)
    body = SMALL | {"prompt": HELD}
    first = asyncio.create_task(client.ask(body, retry=0))
    await until(lambda: len(client.relay.sandbox.seen) == 1)
    refused = await client.ask(body, retry=0)
    with answering(client.relay):
        await first
        answer = await client.ask(body, retry=1)

    assert refused.status_code == 429
    assert "idempotent-replayed" not in answer.headers
    assert client.charges == 2
