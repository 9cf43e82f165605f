"""Streams: what the client gets, and what stands in the book."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from app.sandbox import SandboxOptions, running_sandbox
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.money.books import (
    GENERATIONS,
    QUOTE,
    UNKNOWN,
    ask,
    assert_books_agree,
    assert_nothing_leaks,
    opened,
    the_row,
    used,
    user_id,
)


@pytest.fixture(scope="module")
async def streaming_shop(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """In front of a relay of profile N."""
    folder = tmp_path_factory.mktemp("streaming")
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, profile="N", latency_scale=0)) as relay,
        running_gateway(folder, relay.base_url) as running,
    ):
        yield running


async def stream(client: httpx2.AsyncClient, hint: str, **fields: Any) -> tuple[httpx2.Response, list[dict[str, Any]]]:
    """The answer and its events, to the last."""
    prompt = f"[[sandbox {hint}]] a cat" if hint else "a cat"
    answer = await ask(client, prompt, stream=True, **fields)
    lines = answer.text.splitlines()
    return answer, [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@pytest.mark.parametrize(
    ("hint", "kinds", "state", "code"),
    [
        ("", ["partial_image", "completed"], "settled", None),
        ("sse=ping", ["partial_image", "completed"], "settled", None),
        ("sse=no_done", ["partial_image", "completed"], "settled", None),
        ("sse=cut", ["partial_image", UNKNOWN], "unknown", UNKNOWN),
        ("sse=end", ["partial_image", UNKNOWN], "unknown", UNKNOWN),
        ("sse=error", ["partial_image", "server_error"], "unknown", "server_error"),
        ("reset=mid_body", ["partial_image", "completed"], "settled", None),
        ("error=moderation", [], "released", "moderation_blocked"),
        ("error=rate_limited", [], "released", "upstream_rate_limited"),
        ("error=proxy_504", [], "unknown", UNKNOWN),
        ("reset=before_headers", [], "unknown", UNKNOWN),
    ],
)
async def test_a_stream_is_settled_by_its_completed_event_and_by_nothing_else(
    streaming_shop: Running, name: str, hint: str, kinds: list[str], state: str, code: str | None
) -> None:
    key = await streaming_shop.key(name)
    await streaming_shop.limit("user", name, "micros", "month", 10_000_000)

    async with opened(streaming_shop.url, key.key) as client:
        answer, events = await stream(client, hint, partial_images=1)

    row = await the_row(streaming_shop.database, answer)
    assert [_kind(event) for event in events] == kinds
    if kinds:
        assert answer.headers["content-type"].startswith("text/event-stream")
    else:
        assert answer.json()["error"]["code"] == code
    assert (row["state"], row["error_code"], row["stream"]) == (state, code, 1)
    expected = {"settled": (QUOTE, 0), "unknown": (0, QUOTE), "released": (0, 0)}[state]
    assert await used(streaming_shop.database, name) == [expected]
    assert_nothing_leaks(answer.text.split("b64_json")[0])
    await assert_books_agree(streaming_shop.database)


def _kind(event: dict[str, Any]) -> str:
    if "error" in event:
        return str(event["error"]["code"])
    return str(event["type"]).rsplit(".", 1)[-1]


async def test_a_stream_cut_after_its_first_of_two_images_is_booked_whole_and_flagged_short(
    streaming_shop: Running, name: str
) -> None:
    key = await streaming_shop.key(name)

    async with opened(streaming_shop.url, key.key) as client:
        answer, events = await stream(client, "images=1", n=2)

    row = await the_row(streaming_shop.database, answer)
    assert [_kind(event) for event in events] == ["completed"]
    assert (row["state"], row["flag"], row["cost_micros"], row["images"]) == ("settled", "short", 2 * QUOTE, 1)


async def test_a_relay_that_answers_json_to_a_stream_is_turned_into_events(shop: Running, name: str) -> None:
    key = await shop.key(name)

    async with opened(shop.url, key.key) as client:
        answer, events = await stream(client, "", n=2)

    row = await the_row(shop.database, answer)
    assert [_kind(event) for event in events] == ["completed", "completed"]
    assert (row["state"], row["cost_micros"], row["images"]) == ("settled", 2 * QUOTE, 2)


async def test_a_client_that_leaves_its_stream_is_charged_for_the_picture_it_ordered(
    streaming_shop: Running, name: str
) -> None:
    key = await streaming_shop.key(name)
    body = {
        "model": "gpt-image-1",
        "prompt": "[[sandbox partials=3 drip=4]] a cat",
        "stream": True,
        "partial_images": 3,
    }

    async with (
        opened(streaming_shop.url, key.key) as client,
        client.stream("POST", GENERATIONS, json=body) as answer,
    ):
        async for _ in answer.aiter_bytes():
            break
    await streaming_shop.gateway.image_service.wait_until_idle()

    row = await the_row(streaming_shop.database, answer)
    assert (row["state"], row["cost_micros"], row["user_id"]) == (
        "settled",
        QUOTE,
        await user_id(streaming_shop.database, name),
    )
