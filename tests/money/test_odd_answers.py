"""Answers that are no HTTP, late or too large: nothing is sent again, and what may be charged stays held."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.sandbox import SandboxOptions, running_sandbox
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.money.books import (
    NEVER,
    UNKNOWN,
    ask,
    assert_books_agree,
    limited,
    opened,
    the_row,
    used,
)
from tests.upstream.raw_server import RawServer, Request, running_raw_server


@pytest.fixture
async def raw(anyio_backend: str) -> AsyncIterator[RawServer]:
    async with running_raw_server() as server:
        yield server


@pytest.mark.parametrize(
    ("told", "passed_on"),
    [("17", 17), ("0", 1), ("-5", 1), ("86400", 60), ("Wed, 21 Oct 2015 07:28:00 GMT", 1), ("soon", 5), (None, 5)],
)
async def test_a_retry_after_of_the_relay_is_kept_within_a_minute(
    tmp_path_factory: pytest.TempPathFactory, raw: RawServer, told: str | None, passed_on: int
) -> None:
    async def busy(request: Request) -> None:
        more = f"\r\nRetry-After: {told}" if told else ""
        await request.answer(b"", "429 Too Many Requests", f"Content-Type: application/json{more}")

    raw.script = [busy]
    async with running_gateway(tmp_path_factory.mktemp("raw"), raw.url) as running:
        key = await running.key()
        async with opened(running.url, key.key) as client:
            answer = await ask(client)
        row = await the_row(running.database, answer)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, str(passed_on))
    assert row["state"] == "released"


async def test_odd_answers_are_never_sent_again_and_never_followed(
    tmp_path_factory: pytest.TempPathFactory, raw: RawServer
) -> None:
    async def elsewhere(request: Request) -> None:
        await request.answer(b"", "303 See Other", f"Location: {raw.url}/v1/images/generations")

    async def many_headers(request: Request) -> None:
        await request.answer(b"{}", headers="X-Long: " + "a" * 200_000)

    async def silent_end(request: Request) -> None:
        request.writer.close()

    async def no_http(request: Request) -> None:
        await request.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        request.writer.close()

    raw.script = [elsewhere, many_headers, silent_end, no_http]
    async with running_gateway(tmp_path_factory.mktemp("raw"), raw.url) as running:
        key = await running.key()
        async with opened(running.url, key.key) as client:
            answers = [await ask(client) for _ in raw.script]
        states = [row["state"] for row in await running.rows()]

    assert [(a.status_code, a.json()["error"]["code"], a.headers["x-should-retry"]) for a in answers] == [
        (424, UNKNOWN, NEVER)
    ] * 4
    assert states == ["unknown"] * 4
    assert len(raw.requests) == 4


async def test_where_no_byte_has_left_the_client_may_try_again_and_nothing_is_held(
    shop: Running, name: str, tmp_path_factory: pytest.TempPathFactory, raw: RawServer
) -> None:
    async with running_raw_server() as gone:
        pass
    async with running_gateway(tmp_path_factory.mktemp("raw"), gone.url) as running:
        key = await running.key()
        await running.limit("user", "lin", "micros", "day", 1_000_000)
        async with opened(running.url, key.key) as client:
            answer = await ask(client)
        row = await the_row(running.database, answer)
        counters = await limited(running.database)

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unreachable")
    assert "x-should-retry" not in answer.headers
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert (row["state"], row["http_status"]) == ("released", 503)
    assert [(c["spent"], c["held"]) for c in counters] == [(0, 0)]


@pytest.fixture(scope="module")
async def hasty(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """Clients wait 0.5 s there, exchanges last 4 s at most, and answers have 200 kB at most."""
    folder = tmp_path_factory.mktemp("hasty")
    short: dict[str, Any] = {"client_deadline_s": 0.5, "upstream_deadline_s": 4, "upstream_answer_bytes_max": 200_000}
    async with (
        running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as relay,
        running_gateway(folder, relay.base_url, **short) as running,
    ):
        yield running


@pytest.mark.parametrize(
    ("hint", "state"),
    [("hang=1", "unknown"), ("drip=8", "unknown"), ("delay=3", "settled"), ("drip=3", "settled")],
)
async def test_a_client_waits_no_longer_than_its_deadline_and_the_exchange_goes_on(
    hasty: Running, name: str, hint: str, state: str
) -> None:
    key = await hasty.key(name)
    await hasty.limit("user", name, "micros", "month", 10_000_000)

    async with opened(hasty.url, key.key) as client:
        answer = await ask(client, f"[[sandbox {hint}]] a cat", model="flux-kontext-pro")

    assert (answer.status_code, answer.json()["error"]["code"]) == (424, UNKNOWN)
    assert answer.headers["x-should-retry"] == NEVER
    assert (await the_row(hasty.database, answer))["state"] == "dispatched"
    assert await used(hasty.database, name) == [(0, 200_000)]
    await hasty.gateway.image_service.wait_until_idle()
    row = await the_row(hasty.database, answer)
    assert row["state"] == state
    assert await used(hasty.database, name) == [(200_000, 0) if state == "settled" else (0, 200_000)]
    await assert_books_agree(hasty.database)


async def test_a_client_of_a_stream_that_waits_in_vain_is_told_so_with_a_status(hasty: Running, name: str) -> None:
    key = await hasty.key(name)

    async with opened(hasty.url, key.key) as client:
        answer = await ask(client, "[[sandbox delay=3]] a cat", stream=True)

    assert (answer.status_code, answer.json()["error"]["code"]) == (424, UNKNOWN)
    assert answer.headers["x-should-retry"] == NEVER
    await hasty.gateway.image_service.wait_until_idle()


async def test_an_answer_above_the_cap_is_not_taken_in(hasty: Running, name: str) -> None:
    key = await hasty.key(name)

    async with opened(hasty.url, key.key) as client:
        answer = await ask(client, "[[sandbox body=huge bytes=1000000]]")

    assert (answer.status_code, answer.json()["error"]["code"]) == (424, UNKNOWN)
    assert "200000 bytes" in answer.json()["error"]["message"]
    assert (await the_row(hasty.database, answer))["state"] == "unknown"
