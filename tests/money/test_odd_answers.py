"""Answers that are no HTTP, late or too large: nothing is sent again, and what may be charged stays held."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from tests.faults.given import is_in
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.held import HELD, answering
from tests.money.books import (
    NEVER,
    UNKNOWN,
    ask,
    assert_books_agree,
    limited,
    opened,
    the_row,
    until,
    used,
)
from tests.upstream.raw_server import RawServer, Request, running_raw_server


@pytest.fixture
async def raw(anyio_backend: str) -> AsyncIterator[RawServer]:
    async with running_raw_server() as server:
        yield server


async def test_a_retry_after_of_the_relay_is_kept_within_a_minute(tmp_path: Path, raw: RawServer) -> None:
    told = ["17", "0", "-5", "86400", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", None]

    async def busy(request: Request) -> None:
        words = told[len(raw.requests) - 1]
        more = f"\r\nRetry-After: {words}" if words else ""
        await request.answer(b"", "429 Too Many Requests", f"Content-Type: application/json{more}")

    raw.script = [busy] * len(told)
    async with running_gateway(tmp_path, raw.url) as running:
        key = await running.key()
        async with opened(running.url, key.key) as client:
            answers = [await ask(client) for _ in told]
        states = [row["state"] for row in await running.rows()]

    assert {answer.status_code for answer in answers} == {429}
    assert [int(answer.headers["retry-after"]) for answer in answers] == [17, 1, 1, 60, 1, 5, 5]
    assert states == ["released"] * len(told)


async def test_odd_answers_are_never_sent_again_and_never_followed(tmp_path: Path, raw: RawServer) -> None:
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
    async with running_gateway(tmp_path, raw.url) as running:
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
    tmp_path: Path,
) -> None:
    async with running_raw_server() as gone:
        pass
    async with running_gateway(tmp_path, gone.url) as running:
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


HASTY: dict[str, Any] = {"client_deadline_s": 0.2}


@pytest.fixture(scope="module")
async def slow_relay(anyio_backend: str) -> AsyncIterator[RunningSandbox]:
    async with running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)) as running:
        yield running


@pytest.fixture(scope="module")
async def hasty(slow_relay: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path_factory.mktemp("hasty"), slow_relay.base_url, **HASTY) as running:
        yield running


@pytest.mark.parametrize("hint", ["delay=60", "drip=60"])
async def test_a_client_waits_no_longer_than_its_deadline_and_the_exchange_goes_on(
    hasty: Running, slow_relay: RunningSandbox, name: str, hint: str
) -> None:
    key = await hasty.key(name)
    await hasty.limit("user", name, "micros", "month", 10_000_000)

    async with opened(hasty.url, key.key) as client:
        answer = await ask(client, f"[[sandbox {hint}]] a cat", model="flux-kontext-pro")

    assert_told_unknown(answer)
    await until(lambda: is_in(hasty.database, "dispatched"))
    assert await used(hasty.database, name) == [(0, 200_000)]
    with answering(slow_relay):
        await hasty.gateway.image_service.wait_until_idle()
    assert (await the_row(hasty.database, answer))["state"] == "settled"
    assert await used(hasty.database, name) == [(200_000, 0)]
    await assert_books_agree(hasty.database)


@pytest.mark.parametrize("hint", ["hang=1", "drip=60"])
async def test_an_exchange_that_does_not_end_is_given_up_and_stays_held(
    slow_relay: RunningSandbox, tmp_path: Path, hint: str
) -> None:
    async with running_gateway(tmp_path, slow_relay.base_url, **HASTY, upstream_deadline_s=0.5) as running:
        key = await running.key()
        await running.limit("user", "lin", "micros", "month", 10_000_000)
        async with opened(running.url, key.key) as client:
            answer = await ask(client, f"[[sandbox {hint}]] a cat", model="flux-kontext-pro")
        await running.gateway.image_service.wait_until_idle()

        assert_told_unknown(answer)
        assert (await the_row(running.database, answer))["state"] == "unknown"
        assert await used(running.database, "lin") == [(0, 200_000)]
        await assert_books_agree(running.database)


async def test_a_client_of_a_stream_that_waits_in_vain_is_told_so_with_a_status(
    hasty: Running, slow_relay: RunningSandbox, name: str
) -> None:
    key = await hasty.key(name)

    async with opened(hasty.url, key.key) as client:
        answer = await ask(client, HELD, stream=True)

    assert_told_unknown(answer)
    with answering(slow_relay):
        await hasty.gateway.image_service.wait_until_idle()


def assert_told_unknown(answer: httpx2.Response) -> None:
    assert (answer.status_code, answer.json()["error"]["code"]) == (424, UNKNOWN)
    assert answer.headers["x-should-retry"] == NEVER


async def test_an_answer_above_the_cap_is_not_taken_in(slow_relay: RunningSandbox, tmp_path: Path) -> None:
    async with running_gateway(tmp_path, slow_relay.base_url, upstream_answer_bytes_max=200_000) as running:
        key = await running.key()
        async with opened(running.url, key.key) as client:
            answer = await ask(client, "[[sandbox body=huge bytes=1000000]]")
        row = await the_row(running.database, answer)

    assert (answer.status_code, answer.json()["error"]["code"]) == (424, UNKNOWN)
    assert "200000 bytes" in answer.json()["error"]["message"]
    assert row["state"] == "unknown"
