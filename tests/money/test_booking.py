"""Whatever the relay answers: what the client is told, and what stands in the book."""

from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from app.sandbox import RunningSandbox
from tests.gateways import RELAY_KEY, Running
from tests.money.books import (
    NEVER,
    QUOTE,
    UNKNOWN,
    Row,
    ask,
    assert_bill_paid,
    assert_books_agree,
    assert_nothing_leaks,
    opened,
    the_row,
    used,
)


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
    released("error=redirect", *OUR_FAULT),
    # What stands before the relay.
    refused("error=too_large", 413, "body_too_large"),
    released("error=cf_521", 503, "upstream_unreachable", retry=True),
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
    refused("error=unverified_organization", 403, "invalid_request"),
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
    unknown("error=redirect_303"),
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


def assert_written(row: Row, case: Case) -> None:
    assert (row["state"], row["cost_micros"], row["flag"]) == (case.state, case.cost, case.flag)
    assert (row["http_status"], row["error_code"]) == (case.status, case.code)
    assert (row["n"], row["images"]) == (case.n, case.images if case.state == "settled" else None)
    assert row["reserved_at_ms"] <= row["dispatched_at_ms"] <= row["ended_at_ms"]
    assert row["upstream_ms"] >= 0
    sent_headers = case.hint not in ("reset=before_headers", "error=rate_limited_empty") and "proxy" not in case.hint
    if sent_headers and case.hint not in (
        "error=cf_524",
        "error=cf_521",
        "error=redirect",
        "error=redirect_303",
        "error=too_large",
    ):
        assert row["upstream_request_id"]


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("error=unauthorized", (401, None, "无效的令牌")),
        ("status=422 code=too_odd message='too odd at https://x.example'", (422, "too_odd", "too odd at")),
        (f"status=403 message='{RELAY_KEY} is blocked'", (403, None, "is blocked")),
        ("error=panic", (500, None, "Panic detected")),
        ("body=error200", (200, "server_error", "The provider could not draw this.")),
        ("error=proxy_502", (502, None, None)),
        ("reset=before_headers", (None, None, None)),
        ("", (None, None, None)),
    ],
)
async def test_a_request_that_the_relay_refused_has_its_words_in_its_row(
    shop: Running, name: str, hint: str, said: tuple[int | None, str | None, str | None]
) -> None:
    key = await shop.key(name)

    async with opened(shop.url, key.key) as client:
        row = await the_row(shop.database, await ask(client, f"a cat [[sandbox {hint}]]" if hint else "a cat"))

    assert (row["upstream_status"], row["upstream_code"]) == said[:2]
    assert (row["upstream_message"] or "").startswith(said[2] or "")
    assert (row["upstream_message"] is None) == (said[2] is None)


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
