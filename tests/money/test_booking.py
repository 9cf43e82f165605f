"""Whatever the relay answers: what the client is told, and what stands in the book."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from tests.gateways import RELAY_KEY, Running, running_gateway
from tests.money.books import (
    GENERATIONS,
    Row,
    ask,
    assert_bill_paid,
    assert_books_agree,
    limited,
    opened,
    the_row,
    used,
    user_id,
)
from tests.upstream.raw_server import RawServer, Request, running_raw_server

QUOTE = 1_000_000
UNKNOWN = "upstream_outcome_unknown"
NEVER = "false"
"""The value of x-should-retry that stops the SDKs."""


@dataclass(frozen=True, slots=True)
class Case:
    """A scripted answer of the relay, and what must come of it. `code` None: the client gets its images."""

    hint: str
    status: int = 200
    code: str | None = None
    type: str | None = "upstream_error"
    retry: bool = False
    state: str = "settled"
    flag: str | None = None
    n: int = 1
    images: int = 1

    def __str__(self) -> str:
        return self.hint.replace(" ", ",") or "plain"

    @property
    def cost(self) -> int | None:
        return QUOTE * self.n if self.state == "settled" else None

    @property
    def held(self) -> int:
        return QUOTE * self.n if self.state == "unknown" else 0


def settled(hint: str, **given: Any) -> Case:
    return Case(hint, **given)


def charged_in_vain(hint: str) -> Case:
    """It was paid for, and is no image."""
    return Case(hint, 424, "upstream_bad_payload", flag="bad_payload", images=0)


def unknown(hint: str, **given: Any) -> Case:
    return Case(hint, 424, UNKNOWN, state="unknown", **given)


def released(hint: str, status: int, code: str | None, type: str = "upstream_error", retry: bool = False) -> Case:
    return Case(hint, status, code, type, retry, state="released")


def refused(hint: str, status: int, code: str, type: str = "invalid_request_error") -> Case:
    return released(hint, status, code, type)


OUR_FAULT = (502, "upstream_misconfigured")
EMPTY_WALLET = (503, "upstream_wallet_empty")
NO_SUCH_MODEL = (503, "upstream_model_unavailable")
BUSY = (429, "upstream_rate_limited")

CASES = [
    settled(""),
    settled("body=no_created"),
    settled("body=empty_strings"),
    settled("body=url"),
    settled("gzip=1"),
    settled("body=both"),
    settled("body=no_usage"),
    settled("body=half_usage"),
    settled("drip=0.2"),
    settled("body=short", n=3, images=2, flag="short"),
    charged_in_vain("body=not_image"),
    charged_in_vain("body=bad_b64"),
    charged_in_vain("body=huge bytes=3000000"),
    unknown("body=none"),
    unknown("body=none", n=2),
    unknown("body=empty"),
    unknown("body=html"),
    unknown("body=error200"),
    unknown("body=truncated"),
    unknown("body=garbage"),
    unknown("reset=before_headers"),
    unknown("reset=mid_body"),
    # The key and the wallet of the gateway: never the caller's business.
    *(released(f"error={name}", *OUR_FAULT) for name in ("no_key", "unauthorized", "key_disabled", "key_expired")),
    *(released(f"error={name}", *OUR_FAULT) for name in ("channel_choice", "ip", "banned", "model_forbidden")),
    released("error=key_quota", *EMPTY_WALLET),
    released("error=wallet", *EMPTY_WALLET),
    released("error=wallet_short", *EMPTY_WALLET),
    released("error=key_quota_403", *EMPTY_WALLET),
    released("error=provider_quota", *EMPTY_WALLET),
    # Routing.
    released("error=no_channel", *NO_SUCH_MODEL),
    released("error=get_channel_failed", *NO_SUCH_MODEL),
    released("error=no_price", *NO_SUCH_MODEL),
    released("error=not_implemented", *NO_SUCH_MODEL),
    released("error=rate_limited", *BUSY, retry=True),
    released("error=rate_limited_empty", *BUSY, retry=True),
    released("error=provider_rate_limited", *BUSY, retry=True),
    # Its own checks, and those of the provider.
    refused("error=bad_field", 400, "invalid_image_request"),
    refused("error=prompt_missing", 400, "invalid_image_request"),
    refused("error=bad_size", 400, "invalid_image_request"),
    refused("error=not_multipart", 400, "invalid_image_request"),
    refused("error=word_filter", 400, "invalid_image_request"),
    refused("error=n_range", 400, "invalid_request"),
    refused("error=convert", 400, "convert_request_failed"),
    refused("error=edit_unsupported", 400, "convert_request_failed"),
    refused("error=moderation", 400, "moderation_blocked", "image_generation_user_error"),
    refused("error=content_policy", 400, "content_policy_violation"),
    refused("status=422 code=too_odd", 422, "too_odd"),
    # Nobody can tell whether these were charged.
    unknown("error=overloaded"),
    unknown("error=provider_500"),
    unknown("error=provider_html_502"),
    unknown("error=network"),
    unknown("error=bad_response_body"),
    unknown("error=panic"),
    unknown("error=proxy_502"),
    unknown("error=proxy_504"),
    unknown("error=cf_524"),
    unknown("error=redirect"),
    unknown("status=500 code=whatever"),
    unknown("status=503 code=whatever"),
]


ONE_OF_EACH = [case for case in CASES if case.hint in ("", "body=short", "body=not_image", "body=none", "error=wallet")]
EVERYWHERE = [("sqlite", case) for case in CASES] + [("postgres", case) for case in ONE_OF_EACH]


@pytest.mark.parametrize(("kind", "case"), EVERYWHERE, ids=str, indirect=["kind"], scope="module")
async def test_an_answer_of_the_relay_is_told_and_booked(shop: Running, name: str, case: Case) -> None:
    key = await shop.key(name)
    await shop.limit("user", name, "micros", "month", 10_000_000)
    await shop.limit("user", name, "images", "day", 10)
    await shop.limit("user", name, "in_flight", "lifetime", 1)

    async with opened(shop.url, key.key) as client:
        answer = await ask(client, f"a cat [[sandbox {case.hint}]]" if case.hint else "a cat", n=case.n)

    assert_told(answer, case)
    assert_written(await the_row(shop.database, answer), case)
    assert await used(shop.database, name) == [(case.cost or 0, case.held)]
    assert await used(shop.database, name, "images") == [(case.n * bool(case.cost), case.n * bool(case.held))]
    assert await used(shop.database, name, "in_flight") == [(0, 0)]
    await assert_books_agree(shop.database)


def assert_told(answer: httpx2.Response, case: Case) -> None:
    assert answer.status_code == case.status, answer.text
    if case.code is None and case.state == "settled":
        assert len(answer.json()["data"]) == case.images
        assert answer.json()["created"] > 0
        assert answer.headers["x-imagegate-cost"] == f"{case.n}.00"
        assert answer.headers["x-imagegate-spend-remaining"] == f"{10 - case.n}.00"
        assert answer.headers["x-imagegate-images-remaining"] == str(10 - case.n)
        return
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (case.code, case.type)
    assert answer.headers.get("x-should-retry") == (None if case.retry else NEVER)
    assert ("retry-after" in answer.headers) == case.retry
    if case.retry:
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert_nothing_leaks(answer.text)


def assert_nothing_leaks(text: str) -> None:
    for secret in ("request id", "http:", "https:", "127.0.0.1", "whatai", RELAY_KEY, "sk-", "令牌", "<html"):
        assert secret not in text


def assert_written(row: Row, case: Case) -> None:
    assert (row["state"], row["cost_micros"], row["flag"]) == (case.state, case.cost, case.flag)
    assert (row["http_status"], row["error_code"]) == (case.status, case.code)
    assert (row["n"], row["images"]) == (case.n, case.images if case.state == "settled" else None)
    assert row["reserved_at_ms"] <= row["dispatched_at_ms"] <= row["ended_at_ms"]
    assert row["upstream_ms"] >= 0
    sent_headers = case.hint not in ("reset=before_headers", "error=rate_limited_empty") and "proxy" not in case.hint
    if sent_headers and case.hint not in ("error=cf_524", "error=redirect", "error=too_large"):
        assert row["upstream_request_id"]


async def test_the_relay_has_charged_what_is_settled_or_unknown_each_once(
    shop: Running, shared_relay: RunningSandbox
) -> None:
    """After everything above."""
    await assert_bill_paid(shop.database, shared_relay)


async def test_text_of_the_provider_comes_without_addresses_keys_and_request_ids(shop: Running, name: str) -> None:
    key = await shop.key(name)
    words = "see https://api.whatai.cc/log?id=9 or 10.0.0.7:3000, key sk-abcdefghijklmnop (request id: 20261121abcdef123456)"

    async with opened(shop.url, key.key) as client:
        answer = await ask(client, f'[[sandbox status=400 code=odd message="Not like this, {words}"]]')

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "odd")
    assert error["message"].startswith("Not like this, see")
    for secret in ("whatai", "10.0.0.7", "sk-", "20261121", "request id"):
        assert secret not in error["message"]


# --- what only a socket of our own can say ---------------------------------------------------------------------------


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
        await request.answer(b"", "307 Temporary Redirect", f"Location: {raw.url}/v1/images/generations")

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


# --- time ------------------------------------------------------------------------------------------------------------


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


# --- streams ---------------------------------------------------------------------------------------------------------


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
        ("sse=error", ["partial_image", UNKNOWN], "unknown", UNKNOWN),
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
