"""The same request again: one purchase, and the same answer, on both databases."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from tests.held import HELD, answering
from tests.images.client import LARGE, SMALL, Client, until


@pytest.mark.parametrize(
    "body", [SMALL, LARGE, LARGE | {"n": 2}, LARGE | {"stream": True}], ids=["url", "file", "two", "stream"]
)
async def test_a_keyed_request_is_bought_once_and_replayed_byte_for_byte(client: Client, body: dict[str, Any]) -> None:
    first = await client.ask(body, key="order-1")
    again = await client.ask(body, key="order-1")

    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert client.charges == 1
    assert await client.states() == ["settled"]


@pytest.mark.both
async def test_fifty_at_once_with_one_key_are_one_purchase(client: Client) -> None:
    asking = [asyncio.create_task(client.ask(LARGE | {"prompt": HELD}, key="order-1")) for _ in range(50)]
    await until(lambda: client.gateway.gateway.image_service.places.attached == 49)

    with answering(client.relay):
        answers = await asyncio.gather(*asking)

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert client.charges == 1


async def test_a_key_used_for_another_request_is_refused(client: Client) -> None:
    await client.ask(SMALL, key="order-1")

    answer = await client.ask(SMALL | {"prompt": "another"}, key="order-1")

    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "idempotency_key_reuse"
    assert client.charges == 1


async def test_the_same_fields_in_another_order_are_the_same_request(client: Client) -> None:
    await client.ask({"model": "seedream-3.0", "prompt": "a", "n": 1}, key="order-1")

    answer = await client.ask({"n": 1, "prompt": "a", "model": "seedream-3.0"}, key="order-1")

    assert answer.headers["idempotent-replayed"] == "true"


async def test_a_key_belongs_to_its_api_key(client: Client, new_client: Callable[[str], Awaitable[Client]]) -> None:
    other = await new_client("mei")
    await client.ask(SMALL, key="order-1")

    answer = await other.ask(SMALL, key="order-1")

    assert "idempotent-replayed" not in answer.headers
    assert client.charges == 2


@pytest.mark.parametrize(
    "keys", [[""], ["x" * 256], ["with space"], ["ümlaut".encode().decode("latin-1")], ["order-1", "order-2"]]
)
async def test_a_key_that_is_not_one_of_1_to_255_visible_ascii_is_refused(client: Client, keys: list[str]) -> None:
    given = [(b"idempotency-key", key.encode("latin-1")) for key in keys]
    answer = await client.http.post(
        "/v1/images/generations",
        json=SMALL,
        headers=[(b"authorization", f"Bearer {client.key.key}".encode()), *given],
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Idempotency-Key"
    assert client.charges == 0


async def test_a_released_request_frees_its_key(client: Client) -> None:
    refused = await client.ask(SMALL | {"prompt": "[[sandbox error=moderation]]"}, key="order-1")

    answer = await client.ask(SMALL, key="order-1")

    assert refused.status_code == 400
    assert answer.status_code == 200
    assert client.charges == 1


async def test_an_unknown_outcome_is_told_again_and_never_bought_again(client: Client) -> None:
    body = SMALL | {"prompt": "[[sandbox reset=before_headers]]"}
    first = await client.ask(body, key="order-1")

    again = await client.ask(body, key="order-1")

    assert first.status_code == again.status_code == 424
    assert again.json() == first.json()
    assert again.headers["x-should-retry"] == "false"
    assert client.charges == 1


async def test_those_attached_to_a_refused_request_get_the_same_refusal(client: Client) -> None:
    body = SMALL | {"prompt": "[[sandbox error=moderation delay=60]]"}

    asking = [asyncio.create_task(client.ask(body, key="order-1")) for _ in range(5)]
    await until(lambda: client.gateway.gateway.image_service.places.attached == 4)
    with answering(client.relay):
        answers = await asyncio.gather(*asking)

    assert {answer.status_code for answer in answers} == {400}
    assert len({answer.json()["error"]["message"] for answer in answers}) == 1
    assert len(client.relay.sandbox.seen) == 1


async def test_a_result_that_expired_is_gone_and_never_bought_again(client: Client) -> None:
    await client.ask(LARGE, key="order-1")
    gateway = client.gateway.gateway
    await gateway.taking.take_all()
    gateway.clock.set(gateway.clock.now_ms() + 25 * 3_600_000)
    await gateway.kept_answers.prune(gateway.clock.now_ms())

    answer = await client.ask(LARGE, key="order-1")

    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "result_expired"
    assert client.charges == 1
    assert list(gateway.kept_answers.directory.iterdir()) == []


async def test_a_replay_holds_nothing_and_counts_as_a_request_without_images(client: Client) -> None:
    await client.gateway.limit("user", "lin", "images", "minute", 1)
    await client.gateway.limit("user", "lin", "requests", "minute", 3)
    await client.ask(SMALL, key="order-1")

    answer = await client.ask(SMALL, key="order-1")

    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-remaining-requests"] == "1"
    assert [counter["held"] for counter in await client.gateway.counters()] == []


async def test_an_answer_handed_over_is_noted_as_delivered(client: Client) -> None:
    await client.ask(SMALL)

    async def delivered() -> bool:
        return (await client.gateway.rows())[0]["delivered_at_ms"] is not None

    async with asyncio.timeout(30):
        while not await delivered():
            await asyncio.sleep(0.05)


async def test_an_answer_can_be_collected_later_by_its_key_and_by_nobody_else(
    client: Client, new_client: Callable[[str], Awaitable[Client]]
) -> None:
    other = await new_client("mei")
    accepted = await client.ask(LARGE | {"prompt": HELD}, Prefer="respond-async")
    path = accepted.headers["location"]
    early = await client.get(f"{path}/result")
    with answering(client.relay):
        await until(lambda: client.gateway.gateway.image_service.in_flight == 0)

    state, result = await client.get(path), await client.get(f"{path}/result")
    foreign = [await other.get(path), await other.get(f"{path}/result")]

    assert (accepted.status_code, early.status_code) == (202, 202)
    assert accepted.headers["cache-control"] == "no-store"
    assert int(accepted.headers["retry-after"]) > 0
    assert path == f"/v1/images/requests/{accepted.json()['id']}"
    assert (state.json()["state"], state.json()["cost"]) == ("settled", "1.00")
    assert result.json()["data"][0]["b64_json"]
    assert [answer.status_code for answer in foreign] == [404, 404]
    assert client.charges == 1


async def test_a_refusal_before_sending_is_told_at_once_also_to_those_who_prefer_later(client: Client) -> None:
    await client.gateway.limit("user", "lin", "micros", "month", 10_000)

    answer = await client.ask(LARGE, Prefer="respond-async")

    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "insufficient_quota"


async def test_the_picture_of_a_client_that_left_can_be_collected(client: Client) -> None:
    asking = asyncio.create_task(client.ask(LARGE | {"prompt": HELD}))
    await until(lambda: client.relay.sandbox.seen)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    with answering(client.relay):
        await until(lambda: client.gateway.gateway.image_service.in_flight == 0)
    [row] = await client.gateway.rows()

    result = await client.get(f"/v1/images/requests/{row['id']}/result")

    assert row["state"] == "settled"
    assert result.json()["data"][0]["b64_json"]
    assert client.charges == 1


async def test_twenty_who_wait_for_a_request_of_another_replica_read_the_database_as_one(client: Client) -> None:
    replay, reads = client.gateway.gateway.image_service.replay, list[str]()
    slow = asyncio.create_task(client.ask(LARGE | {"prompt": HELD}))
    await until(lambda: replay.running)
    [request_id] = replay.running
    engine = client.gateway.gateway.database.engine.sync_engine
    sa.event.listen(engine, "before_cursor_execute", lambda *call: reads.append(str(call[2])))
    there = replace(replay, running={})

    def asked() -> list[str]:
        return [statement for statement in reads if "FROM requests" in statement]

    waiting = [asyncio.create_task(there.answer(request_id)) for _ in range(20)]
    await until(lambda: len(asked()) > 1)
    with answering(client.relay):
        answers = await asyncio.gather(*waiting)
        await slow

    assert {answer.cost_micros for answer in answers} == {answers[0].cost_micros}
    assert len(asked()) < 20
