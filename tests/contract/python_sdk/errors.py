"""Every refusal a client can meet: the SDK's own class, what it tells, and how many POSTs it cost.

The SDK's own retries are on, except where trying again is right: there only the advice to do so is looked at.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.contract.python_sdk.bench import FLUX, GPT, SEEDREAM, UNPRICED, Bench, add, check, same

INVALID, UPSTREAM = "invalid_request_error", "upstream_error"
NOT_SENT, SENT = 0, 1
FILE_BYTES_MAX = 10_000_000

CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    **dict.fromkeys((502, 503), "InternalServerError"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """`act` calls a client and must fail like this. `sent`: how often the relay got it. `retried`: waiting helps."""

    act: Callable[[Bench, Any], Any]
    status: int
    code: str
    type: str = INVALID
    param: str | None = None
    key: str = "good"
    sent: int = NOT_SENT
    retried: bool = False
    posts: int = 1


def run(case: Case, bench: Bench) -> None:
    client = bench.client(case.key, **({"max_retries": 0} if case.retried else {}))
    try:
        case.act(bench, client)
    except bench.openai.APIStatusError as exc:
        _check(case, bench, exc)
    else:
        raise AssertionError("no error")
    same(len(bench.posts), case.posts)
    same(len(bench.seen()), case.sent)


def _check(case: Case, bench: Bench, exc: Any) -> None:
    wanted = CLASSES.get(case.status, "APIStatusError")
    same((type(exc).__name__, exc.status_code), (wanted, case.status))
    same((exc.code, exc.type, exc.param), (case.code, case.type, case.param))
    same(exc.body["message"] in exc.message, True)
    same(set(exc.body), {"message", "type", "param", "code"})
    assert exc.request_id.startswith("req_"), exc.request_id
    headers = exc.response.headers
    same(headers.get("x-should-retry"), None if case.retried else "false")
    if case.retried:
        assert 1 <= int(headers["retry-after"]) <= 60
    assert "127.0.0.1" not in exc.message, exc.message
    assert bench.keys[case.key] not in exc.message


# --- ways to call ---------------------------------------------------------------------------------------------------


def generate(hint: str = "", **fields: Any) -> Callable[[Bench, Any], Any]:
    return lambda bench, client: client.images.generate(**({"model": GPT, "prompt": bench.prompt(hint)} | fields))


def edit(image: Any = None, hint: str = "", **fields: Any) -> Callable[[Bench, Any], Any]:
    def act(bench: Bench, client: Any) -> Any:
        given = bench.pictures["png"] if image is None else image
        return client.images.edit(**({"model": GPT, "prompt": bench.prompt(hint), "image": given} | fields))

    return act


def elsewhere(path: str, method: str = "post", **given: Any) -> Callable[[Bench, Any], Any]:
    return lambda _bench, client: getattr(client, method)(path, cast_to=object, **given)


def twice(first: Callable[[Bench, Any], Any], second: Callable[[Bench, Any], Any]) -> Callable[[Bench, Any], Any]:
    """The first uses up what the second would need."""

    def act(bench: Bench, client: Any) -> None:
        first(bench, client)
        second(bench, client)

    return act


def unreachable(bench: Bench, client: Any) -> Any:
    return client.with_options(base_url=bench.away).images.generate(prompt=bench.prompt())


def vary(bench: Bench, client: Any) -> Any:
    return client.images.create_variation(model=GPT, image=bench.pictures["png"])


def png_of(width_px: int, height_px: int) -> bytes:
    """Only its header: no more of it is looked at."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width_px, height_px) + b"\x08\x02\0\0\0" + b"\0" * 99


# --- the table ------------------------------------------------------------------------------------------------------

REQUEST_IS_WRONG = {
    "n_too_large": Case(generate(n=11), 400, "invalid_value", param="n"),
    "n_of_zero": Case(generate(n=0), 400, "invalid_value", param="n"),
    "n_not_a_number": Case(generate(extra_body={"n": "two"}), 400, "invalid_type", param="n"),
    "prompt_missing": Case(generate(extra_body={"prompt": None}), 400, "missing_required_parameter", param="prompt"),
    "prompt_blank": Case(generate(prompt=" \n"), 400, "invalid_value", param="prompt"),
    "prompt_too_long": Case(generate(prompt="x" * 32_001), 400, "string_above_max_length", param="prompt"),
    "response_format_odd": Case(generate(response_format="html"), 400, "invalid_value", param="response_format"),
    "model_like_a_path": Case(generate(model="../etc"), 400, "invalid_value", param="model"),
    "image_empty": Case(edit(b""), 400, "image_empty", param="image"),
    "image_no_picture": Case(edit(b"GIF89a" + b"\0" * 99), 400, "invalid_image_type", param="image"),
    "image_too_many_pixels": Case(edit(png_of(60_000, 60_000)), 400, "image_too_large_in_pixels", param="image"),
    "mask_no_picture": Case(edit(mask=b"%PDF-1.7 " * 9), 400, "invalid_image_type", param="mask"),
    "image_too_large": Case(edit(png_of(8, 8) + bytes(FILE_BYTES_MAX)), 413, "body_too_large", param="image"),
    "too_many_images": Case(edit([png_of(8, 8)] * 17), 400, "invalid_value", param="image"),
    "content_encoding": Case(generate(extra_headers={"Content-Encoding": "gzip"}), 415, "unsupported_media_type"),
    "headers_too_large": Case(generate(extra_headers={"X-Long": "x" * 40_000}), 431, "headers_too_large"),
    "uri_too_long": Case(elsewhere("/models/" + "x" * 9000, "get"), 414, "uri_too_long", posts=0),
    "unknown_url": Case(elsewhere("/v1/images/generations", body={}), 404, "unknown_url"),
    "method": Case(elsewhere("/images/generations", "get"), 405, "method_not_allowed", posts=0),
    "edit_of_a_model_that_does_not": Case(edit(model=SEEDREAM), 400, "unsupported_operation", param="model"),
    "variation": Case(vary, 400, "unsupported_operation", param="model"),
    "not_priced": Case(generate(model=UNPRICED), 400, "model_not_priced", param="model"),
    "model_not_found": Case(generate(model="dall-e-9"), 404, "model_not_found", param="model"),
}

KEY_IS_WRONG = {
    "key_unknown": Case(generate(), 401, "invalid_api_key", key="unknown"),
    "key_malformed": Case(generate(), 401, "invalid_api_key", key="malformed"),
    "key_revoked": Case(generate(), 401, "invalid_api_key", key="revoked"),
    "key_expired": Case(generate(), 401, "invalid_api_key", key="expired"),
    "key_of_a_disabled_user": Case(edit(), 401, "invalid_api_key", key="of_a_disabled_user"),
    "key_not_for_this_model": Case(generate(), 403, "model_not_allowed", param="model", key="only_flux"),
}

QUOTA, RATE = "insufficient_quota", "rate_limit_exceeded"
LIMIT_REACHED = {
    "spend_limit": Case(generate(), 429, QUOTA, QUOTA, key="no_money"),
    "image_quota": Case(generate(n=2), 429, QUOTA, QUOTA, key="one_image"),
    "request_quota": Case(edit(), 429, QUOTA, QUOTA, key="no_requests"),
    "in_flight": Case(generate(), 429, RATE, "in_flight", key="none_at_once", retried=True),
    "requests_per_minute": Case(
        twice(generate(), generate()), 429, RATE, "requests", key="one_a_minute", sent=1, posts=2, retried=True
    ),
    "images_per_minute": Case(
        twice(generate(n=2), generate()), 429, RATE, "images", key="two_images_a_minute", sent=1, posts=2, retried=True
    ),
    "more_images_than_a_minute_has": Case(generate(n=3), 429, RATE, "images", key="two_images_a_minute_more"),
}

UNKNOWN, BUSY = "upstream_outcome_unknown", "upstream_rate_limited"
WALLET, NO_MODEL = "upstream_wallet_empty", "upstream_model_unavailable"


def lost(hint: str) -> Case:
    return Case(generate(hint), 424, UNKNOWN, UPSTREAM, sent=SENT)


RELAY_FAILS = {
    **{
        f"answer_{body}": lost(f"body={body}") for body in ("empty", "html", "truncated", "garbage", "error200", "none")
    },
    **{f"reset_{when}": lost(f"reset={when}") for when in ("before_headers", "mid_body")},
    **{
        f"relay_{name}": lost(f"error={name}")
        for name in (
            *("provider_500", "provider_html_502", "bad_response_body", "network", "panic"),
            *("redirect_303", "proxy_502", "proxy_504", "cf_524"),
        )
    },
    **{
        f"answer_{body}": Case(generate(f"body={body}"), 424, "upstream_bad_payload", UPSTREAM, sent=SENT)
        for body in ("not_image", "bad_b64")
    },
    **{
        f"relay_{name}": Case(generate(f"error={name}"), 429, BUSY, UPSTREAM, sent=SENT, retried=True)
        for name in ("rate_limited", "rate_limited_empty", "provider_rate_limited")
    },
    **{
        f"relay_{name}": Case(generate(f"error={name}"), 502, "upstream_misconfigured", UPSTREAM, sent=SENT)
        for name in ("unauthorized", "key_disabled", "key_expired", "ip", "banned", "model_forbidden", "redirect")
    },
    **{
        f"relay_{name}": Case(generate(f"error={name}"), 503, WALLET, UPSTREAM, sent=SENT)
        for name in ("wallet", "wallet_short", "key_quota_403", "provider_quota")
    },
    **{
        f"relay_{name}": Case(generate(f"error={name}"), 503, NO_MODEL, UPSTREAM, sent=SENT)
        for name in ("no_channel", "no_price", "not_implemented", "get_channel_failed")
    },
    "relay_unreachable": Case(unreachable, 503, "upstream_unreachable", UPSTREAM, key="for_away", retried=True),
}

CONVERT, SAFETY = "convert_request_failed", "image_generation_user_error"
REFUSED_BY_RELAY_OR_PROVIDER = {
    "moderation": Case(generate("error=moderation"), 400, "moderation_blocked", SAFETY, sent=SENT),
    "content_policy": Case(generate("error=content_policy"), 400, "content_policy_violation", sent=SENT),
    "relay_convert": Case(edit(hint="error=convert"), 400, CONVERT, sent=SENT),
    "other_4xx": Case(
        generate("status=422 code=too_odd type=odd_error param=size message='No https://relay.example/x please'"),
        *(422, "too_odd", "odd_error", "size"),
        sent=SENT,
    ),
}

TABLE = REQUEST_IS_WRONG | KEY_IS_WRONG | LIMIT_REACHED | RELAY_FAILS | REFUSED_BY_RELAY_OR_PROVIDER
for name, case in TABLE.items():
    add(f"error_{name}", partial(run, case))
FILTERED = generate("error=word_filter")
add("error_words_old", partial(run, Case(FILTERED, 400, "invalid_image_request", sent=SENT)), profiles="C")
add("error_words_new", partial(run, Case(FILTERED, 400, "sensitive_words_detected", sent=SENT)), profiles="N")


@check()
def the_message_of_a_spent_limit_says_which_how_much_is_left_and_when_it_resets(bench: Bench) -> None:
    try:
        bench.generate(model=FLUX, key="no_money")
    except bench.openai.RateLimitError as exc:
        for said in ("monthly spend limit of key", "0.10 CNY", "0.20 CNY", "resets"):
            assert said in exc.message, exc.message
        assert exc.response.headers["x-ratelimit-reset-requests"].endswith("s")
    else:
        raise AssertionError("no error")
