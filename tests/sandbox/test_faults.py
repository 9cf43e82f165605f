"""The hints: each makes its fault, for its own request only, and is billed as the contract says."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

import app.sandbox
from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.sandbox.errors import ERRORS
from app.sandbox.hints import BadHint, read_hints
from tests.images.client import until
from tests.sandbox.calls import KEY, Caller, error_of, events_of

only_n = pytest.mark.parametrize("profile", ["N"], indirect=True)

# name, then status, type and code in profile C and in N; None where the key is absent or null.
NAMED_ERRORS: list[tuple[str, tuple[int, str, str | None], tuple[int, str, str | None]]] = [
    ("unauthorized", (401, "new_api_error", None), (401, "new_api_error", "")),
    ("key_quota", (401, "new_api_error", None), (401, "new_api_error", "")),
    ("model_forbidden", (403, "new_api_error", None), (403, "new_api_error", "")),
    ("no_channel", (503, "new_api_error", None), (503, "new_api_error", "model_not_found")),
    ("rate_limited", (429, "new_api_error", None), (429, "new_api_error", "")),
    ("no_price", (500, "new_api_error", "model_price_error"), (400, "new_api_error", "model_price_error")),
    ("wallet", (403, "new_api_error", "insufficient_user_quota"), (403, "new_api_error", "insufficient_user_quota")),
    (
        "key_quota_403",
        (403, "new_api_error", "pre_consume_token_quota_failed"),
        (403, "new_api_error", "pre_consume_token_quota_failed"),
    ),
    (
        "word_filter",
        (400, "new_api_error", "invalid_image_request"),
        (500, "new_api_error", "sensitive_words_detected"),
    ),
    ("convert", (500, "new_api_error", "convert_request_failed"), (500, "new_api_error", "convert_request_failed")),
    ("network", (500, "new_api_error", "do_request_failed"), (500, "new_api_error", "do_request_failed")),
    ("get_channel_failed", (500, "new_api_error", "get_channel_failed"), (500, "new_api_error", "get_channel_failed")),
    ("not_implemented", (501, "new_api_error", "api_not_implemented"), (501, "new_api_error", "api_not_implemented")),
    ("panic", (500, "new_api_panic", None), (500, "new_api_panic", None)),
    ("provider_rate_limited", (429, "requests", "rate_limit_exceeded"), (429, "requests", "rate_limit_exceeded")),
    ("provider_500", (500, "server_error", None), (500, "server_error", None)),
    (
        "provider_html_502",
        (502, "upstream_error", "bad_response_status_code"),
        (502, "bad_response_status_code", "bad_response_status_code"),
    ),
    (
        "moderation",
        (400, "image_generation_user_error", "moderation_blocked"),
        (400, "image_generation_user_error", "moderation_blocked"),
    ),
]


@pytest.mark.parametrize(("name", "c", "n"), NAMED_ERRORS, ids=[row[0] for row in NAMED_ERRORS])
async def test_named_errors_follow_the_contract_and_cost_nothing(
    call: Caller, running: RunningSandbox, profile: str, name: str, c: tuple, n: tuple
) -> None:
    answer = await call.hinted(f"error={name}")

    error = error_of(answer)
    assert (answer.status_code, error["type"], error.get("code")) == (c if profile == "C" else n)
    assert running.sandbox.bill == []


async def test_c_signs_a_providers_message_and_n_does_not(call: Caller, profile: str) -> None:
    message = error_of(await call.hinted("error=moderation"))["message"]

    assert message.endswith(")") == (profile == "C")


@pytest.mark.parametrize(
    ("name", "status", "charges"),
    [("too_large", 413, 0), ("proxy_502", 502, 0), ("proxy_504", 504, 1), ("cf_524", 524, 1)],
)
async def test_a_proxys_page_is_html_without_the_relays_headers(
    call: Caller, running: RunningSandbox, name: str, status: int, charges: int
) -> None:
    answer = await call.hinted(f"error={name}")

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "x-oneapi-request-id" not in answer.headers
    assert len(running.sandbox.bill) == charges


async def test_a_redirect_points_where_the_hint_says(call: Caller) -> None:
    answer = await call.hinted("error=redirect location=http://127.0.0.1:1/elsewhere")

    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:1/elsewhere")


async def test_the_limiters_429_can_be_empty(call: Caller) -> None:
    answer = await call.hinted("error=rate_limited_empty")

    assert (answer.status_code, answer.content) == (429, b"")


async def test_any_status_can_be_scripted(call: Caller, running: RunningSandbox) -> None:
    answer = await call.hinted("status=422 code=tea type=teapot message='no coffee here' charged=1")

    error = error_of(answer)
    assert (answer.status_code, error["code"], error["type"]) == (422, "tea", "teapot")
    assert error["message"].startswith("no coffee here")
    assert [charge.images for charge in running.sandbox.bill] == [0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("none", lambda answer: answer["data"] == []),
        ("short", lambda answer: len(answer["data"]) == 1),
        ("many", lambda answer: len(answer["data"]) == 3),
        ("no_created", lambda answer: "created" not in answer),
        ("empty_strings", lambda answer: answer["data"][0]["url"] == ""),
        ("url", lambda answer: list(answer["data"][0]) == ["url"]),
        ("both", lambda answer: list(answer["data"][0]) == ["url", "b64_json"]),
        ("no_usage", lambda answer: "usage" not in answer),
        ("half_usage", lambda answer: answer["usage"] == {"total_tokens": 100}),
        ("bad_b64", lambda answer: answer["data"][0]["b64_json"].endswith("%")),
        ("not_image", lambda answer: answer["data"][0]["b64_json"].startswith("VGhpcyBpcyB0ZXh0")),
        ("huge bytes=5000", lambda answer: len(answer["data"][0]["b64_json"]) == 5000),
    ],
)
async def test_odd_bodies_are_200_and_billed(call: Caller, running: RunningSandbox, body: str, expected: Any) -> None:
    answer = await call.hinted(f"body={body}", n=2)

    assert answer.status_code == 200
    assert expected(answer.json())
    assert len(running.sandbox.bill) == 1


@pytest.mark.parametrize("body", ["empty", "html", "truncated", "garbage"])
async def test_unreadable_bodies_are_200_and_billed(call: Caller, running: RunningSandbox, body: str) -> None:
    answer = await call.hinted(f"body={body}")

    with pytest.raises(ValueError):
        json.loads(answer.content)
    assert (answer.status_code, len(running.sandbox.bill)) == (200, 1)


async def test_an_error_with_200_is_billed_by_c_only(call: Caller, running: RunningSandbox, profile: str) -> None:
    answer = await call.hinted("body=error200")

    assert answer.status_code == 200
    assert error_of(answer)["code"] == "server_error"
    assert len(running.sandbox.bill) == (1 if profile == "C" else 0)


@pytest.mark.parametrize("where", ["before_headers", "mid_body"])
async def test_a_reset_breaks_the_connection_after_the_charge(
    call: Caller, running: RunningSandbox, where: str
) -> None:
    with pytest.raises(httpx2.ReadError):
        await call.hinted(f"reset={where}")

    assert len(running.sandbox.bill) == 1


async def test_a_hanging_call_is_billed_although_the_caller_leaves(call: Caller, running: RunningSandbox) -> None:
    call.client.timeout = httpx2.Timeout(5, read=0.1)
    with pytest.raises(httpx2.ReadTimeout):
        await call.hinted("hang=1")

    await until(lambda: running.sandbox.bill)
    assert len(running.sandbox.bill) == 1


@pytest.mark.parametrize("hint", ["delay=60", "drip=60"])
async def test_a_delayed_or_dripped_answer_arrives_after_later_ones_without_the_hint(call: Caller, hint: str) -> None:
    slow = asyncio.create_task(call.hinted(hint))
    for _ in range(5):
        await call.generate()

    assert not slow.done()
    slow.cancel()


async def test_gzip_comes_unasked(call: Caller) -> None:
    document = {"model": "gpt-image-1", "prompt": "[[sandbox gzip=1]]"}
    headers = {"Accept-Encoding": "identity"}
    async with call.client.stream("POST", "/v1/images/generations", json=document, headers=headers) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])

    assert answer.headers["content-encoding"] == "gzip"
    assert "data" in json.loads(gzip.decompress(raw))


async def test_what_the_answer_says_can_be_scripted(call: Caller) -> None:
    body = (await call.hinted("tokens=5:7:100 size=1536x1024 quality=low images=3")).json()

    assert (body["size"], body["quality"], len(body["data"])) == ("1536x1024", "low", 3)
    assert body["usage"] == {
        "total_tokens": 112,
        "input_tokens": 12,
        "output_tokens": 100,
        "input_tokens_details": {"text_tokens": 5, "image_tokens": 7},
    }


@only_n
@pytest.mark.parametrize(
    ("fault", "completed", "ending"),
    [("end", 0, "}\n\n"), ("error", 0, "}}\n\n"), ("no_done", 1, "}\n\n"), ("ping", 1, "[DONE]\n\n")],
)
async def test_streams_end_in_the_way_asked(call: Caller, fault: str, completed: int, ending: str) -> None:
    answer = await call.hinted(f"sse={fault} partials=1", stream=True)

    assert events_of(answer.text).count("image_generation.completed") == completed
    assert answer.text.endswith(ending) or (fault == "end" and "[DONE]" in answer.text)


@only_n
async def test_a_cut_stream_breaks_inside_the_last_event(call: Caller) -> None:
    with pytest.raises(httpx2.ReadError):
        await call.hinted("sse=cut", stream=True)


async def test_faults_of_one_request_leave_the_others_alone(call: Caller) -> None:
    hints = ["error=moderation", "body=none", "images=1", "status=409", "tokens=1:1:1"] * 4

    answers = await asyncio.gather(*(call.hinted(hint) for hint in hints))

    assert [answer.status_code for answer in answers] == [400, 200, 200, 409, 200] * 4


@pytest.mark.parametrize("hint", ["bogus=1", "body=purple", "delay=soon", "hang=maybe", "error=nothing", "loose"])
async def test_a_hint_that_means_nothing_is_refused_loudly(call: Caller, running: RunningSandbox, hint: str) -> None:
    answer = await call.hinted(hint)

    assert (answer.status_code, error_of(answer)["code"]) == (400, "sandbox_hint")
    assert running.sandbox.bill == []


def test_hints_are_taken_out_of_the_prompt() -> None:
    prompt, script = read_hints('a [[sandbox delay=2 message="two words"]] fox [[sandbox hang=1]]')

    assert prompt == "a fox"
    assert (script.delay, script.message, script.hang) == (2.0, "two words", True)
    with pytest.raises(BadHint):
        read_hints("[[sandbox delay]]")


def test_every_error_name_stands_in_the_readme() -> None:
    readme = Path(app.sandbox.__file__).with_name("README.md").read_text()
    assert [name for name in ERRORS if f"`{name}`" not in readme] == []


async def test_closing_ends_requests_that_hang_or_wait() -> None:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as client,
        running_sandbox(SandboxOptions(KEY, latency_scale=0)) as running,
    ):
        url = f"{running.base_url}/v1/images/generations"
        hints = ("hang=1", "delay=60", "drip=60")
        calls = [
            asyncio.create_task(client.post(url, json={"model": "gpt-image-1", "prompt": f"[[sandbox {hint}]]"}))
            for hint in hints
        ]
        while len(running.sandbox.bill) < len(hints):
            await client.get(running.base_url)
    outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert all(isinstance(outcome, httpx2.TransportError) for outcome in outcomes)
