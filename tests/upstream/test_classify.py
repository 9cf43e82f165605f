import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from app.upstream.classify import classify_event_error, classify_refusal

ID = " (request id: 20250425144835174044863D5lbubkO)"
PAGE = b"<html><head><title>502 Bad Gateway</title></head></html>"


def middleware(message: str, code: str | None = None) -> dict[str, Any]:
    error = {"message": message + ID, "type": "new_api_error"}
    return {"error": error if code is None else error | {"code": code}}


def handler(code: str, message: str, kind: str = "new_api_error") -> dict[str, Any]:
    return {"error": {"message": message + ID, "type": kind, "param": "", "code": code}}


@dataclass(frozen=True)
class Case:
    status: int
    body: Any
    outcome: str
    answer: tuple[int, str, str]
    alarm: bool = False
    retryable: bool = False
    content_type: str = "application/json; charset=utf-8"
    via_cloudflare: bool = False


REFUSED, UPSTREAM = "invalid_request_error", "upstream_error"
WALLET = ("released", (503, "upstream_wallet_empty", UPSTREAM), True)
OURS = ("released", (502, "upstream_misconfigured", UPSTREAM), True)
NO_MODEL = ("released", (503, "upstream_model_unavailable", UPSTREAM))
UNREACHED = ("released", (503, "upstream_unreachable", UPSTREAM))
UNKNOWN = ("unknown", (424, "upstream_outcome_unknown", UPSTREAM))


def as_sent(status: int, code: str, kind: str = REFUSED) -> tuple[str, tuple[int, str, str]]:
    return "released", (status, code, kind)


def page(status: int, *, alarm: bool = False, via_cloudflare: bool = False) -> Case:
    return Case(status, PAGE, *UNKNOWN, alarm=alarm, content_type="text/html", via_cloudflare=via_cloudflare)


def cloudflare(status: int) -> Case:
    return Case(status, PAGE, *UNREACHED, retryable=True, content_type="text/html", via_cloudflare=True)


def too_large(body: bytes, content_type: str) -> Case:
    return Case(413, body, "released", (413, "body_too_large", REFUSED), content_type=content_type)


VERIFY = (
    "Your organization must be verified to use the model `gpt-image-1`. Please go to: https://platform.openai.com/x"
)
MISSING = [{"loc": ["body", "size"], "msg": "size is odd"}, {"msg": "n is odd"}, {"type": "x"}, 7]


CASES = {
    "401 no key": Case(401, middleware("未提供令牌"), *OURS),
    "401 wrong key": Case(401, middleware("无效的令牌", ""), *OURS),
    "401 exhausted key": Case(
        401, middleware("[sk-abc***xyz] 该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = 0"), *WALLET
    ),
    "403 address": Case(403, middleware("您的 IP 不在令牌允许访问的列表中", "access_denied"), *OURS),
    "403 banned": Case(403, middleware("用户已被封禁"), *OURS),
    "403 model": Case(403, middleware("该令牌无权访问模型 gpt-image-1"), *OURS),
    "403 wallet C": Case(403, handler("insufficient_user_quota", "user quota is not enough"), *WALLET),
    "403 wallet N": Case(403, handler("insufficient_user_quota", "用户额度不足, 剩余额度: ＄0.000000"), *WALLET),
    "403 key quota": Case(403, handler("pre_consume_token_quota_failed", "token quota is not enough"), *WALLET),
    "403 wallet by words": Case(403, middleware("预扣费额度失败, 用户剩余额度: ＄0.1"), *WALLET),
    "402": Case(402, {"error": "pay"}, *WALLET),
    "429 wallet": Case(
        429, handler("insufficient_quota", "You exceeded your current quota", "insufficient_quota"), *WALLET
    ),
    "429 limit": Case(
        429, middleware("您已达到请求数限制"), "released", (429, "upstream_rate_limited", UPSTREAM), retryable=True
    ),
    "429 empty": Case(429, b"", "released", (429, "upstream_rate_limited", UPSTREAM), retryable=True),
    "429 saturated": Case(
        429,
        handler("rate_limit_exceeded", "当前分组上游负载已饱和，请稍后再试", "requests"),
        "released",
        (429, "upstream_rate_limited", UPSTREAM),
        retryable=True,
    ),
    "503 no channel C": Case(503, middleware("当前分组 default 下对于模型 x 无可用渠道"), *NO_MODEL),
    "503 no channel N": Case(
        503, middleware("分组 G 下模型 X 无可用渠道（distributor）", "model_not_found"), *NO_MODEL
    ),
    "503 without a code that is not about channels": Case(503, middleware("system memory overloaded"), *UNKNOWN),
    "503 other": Case(503, handler("system_cpu_overloaded", "busy"), *UNKNOWN),
    "500 channel gone": Case(500, handler("get_channel_failed", "x"), *NO_MODEL),
    "500 no price C": Case(500, handler("model_price_error", "x"), *NO_MODEL),
    "400 no price N": Case(400, handler("model_price_error", "x"), *NO_MODEL),
    "501": Case(501, handler("api_not_implemented", "API not implemented"), *NO_MODEL),
    "404 unknown url": Case(404, handler("", "Invalid URL (POST /v1/x)", REFUSED), *NO_MODEL),
    "404 of the provider": Case(
        404, handler("model_not_found", "no such model", REFUSED), *as_sent(404, "model_not_found")
    ),
    "400 malformed C": Case(400, middleware("无效的请求"), *as_sent(400, "invalid_request")),
    "400 field C": Case(
        400, handler("invalid_image_request", "prompt is required"), *as_sent(400, "invalid_image_request")
    ),
    "500 field N": Case(500, handler("invalid_request", "n must be an integer"), *as_sent(400, "invalid_request")),
    "500 words N": Case(
        500, handler("sensitive_words_detected", "sensitive_words_detected"), *as_sent(400, "sensitive_words_detected")
    ),
    "500 no image": Case(
        500, handler("convert_request_failed", "image is required"), *as_sent(400, "convert_request_failed")
    ),
    "400 moderation": Case(
        400,
        handler("moderation_blocked", "rejected by the safety system", "image_generation_user_error"),
        *as_sent(400, "moderation_blocked", "image_generation_user_error"),
    ),
    "400 prompt speaks of money": Case(
        400, handler("content_policy_violation", "prompt: 额度不足", REFUSED), *as_sent(400, "content_policy_violation")
    ),
    "413 json": Case(413, handler("too_large", "too large", REFUSED), *as_sent(413, "too_large")),
    "400 of the provider, no json": Case(
        400,
        handler("bad_response_status_code", "openai_error", "upstream_error"),
        *as_sent(400, "bad_response_status_code", UPSTREAM),
    ),
    "500 provider": Case(500, handler("server_error", "The server had an error", "server_error"), *UNKNOWN),
    "500 network": Case(500, handler("do_request_failed", "请求上游地址失败"), *UNKNOWN),
    "500 panic": Case(500, {"error": {"message": "Panic", "type": "new_api_panic"}}, *UNKNOWN),
    "500 no code": Case(500, middleware("?"), *UNKNOWN),
    "502 enveloped": Case(502, handler("invalid_request", "x"), *UNKNOWN),
    "504 enveloped": Case(504, handler("model_price_error", "x"), *UNKNOWN),
    "524": Case(524, b"error code: 524", *UNKNOWN, content_type="text/plain"),
    "408 bare": Case(408, b"", *UNKNOWN),
    "200": Case(200, {"error": {"code": "insufficient_user_quota"}}, *UNKNOWN),
    "204": Case(204, b"", *UNKNOWN),
    "403 organization": Case(403, {"error": {"message": VERIFY, "type": REFUSED}}, *as_sent(403, "invalid_request")),
    "403 organization by the relay": Case(403, middleware(VERIFY), *as_sent(403, "invalid_request")),
    "403 project": Case(
        403,
        handler("model_not_found", "Project `proj_a1b2c3d4` has no access", REFUSED),
        *as_sent(403, "model_not_found"),
    ),
    "403 key of the provider": Case(403, handler("", "Incorrect key", REFUSED), *OURS),
    "422 details": Case(422, {"detail": MISSING}, *as_sent(422, "invalid_request")),
    "400 labelled a page": Case(
        400, handler("bad", "bad", REFUSED), *as_sent(400, "bad"), content_type="text/html; charset=utf-8"
    ),
    "500 labelled a page": Case(
        500, handler("invalid_request", "n"), *as_sent(400, "invalid_request"), content_type="text/html"
    ),
    **{f"{status}": Case(status, b"", *OURS) for status in (301, 307, 308)},
    "308 page": Case(308, PAGE, *OURS, content_type="text/html"),
    **{f"{status}": Case(status, b"", *UNKNOWN, alarm=True) for status in (302, 303)},
    "413 page": too_large(PAGE, "text/html"),
    "413 empty": too_large(b"", ""),
    "413 text": too_large(b"Request Entity Too Large", "text/plain"),
    "414 page": Case(414, PAGE, *OURS, content_type="text/html"),
    "431 page": Case(431, PAGE, *OURS, content_type="text/html"),
    **{f"{status} of Cloudflare": cloudflare(status) for status in (521, 523, 525, 526)},
    **{f"{status} page": page(status) for status in (521, 523, 525, 526, 530)},
    **{
        f"{status} page of Cloudflare": page(status, via_cloudflare=True)
        for status in (502, 503, 504, 520, 522, 524, 527, 530)
    },
    **{
        f"{status} json": Case(status, handler("insufficient_user_quota", "x"), *UNKNOWN, via_cloudflare=True)
        for status in (502, 520, 521, 523, 525, 526, 530)
    },
    "501 bare": Case(501, b"no", *UNKNOWN, content_type="text/plain"),
    "200 page": page(200, alarm=True),
    "400 page": page(400, alarm=True),
    "502 page": page(502),
    "400 page that says json": Case(400, PAGE, *UNKNOWN, alarm=True),
    "414 page that says json": Case(414, b"\n" + PAGE, *OURS),
    "503 page that says json": Case(503, PAGE, *UNKNOWN),
    "half an envelope": Case(500, b'{"error":{"code":"invalid_request"', *UNKNOWN),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_every_answer_has_its_booking_and_its_error(case: Case) -> None:
    head = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()

    verdict = classify_refusal(case.status, case.content_type, head, None, via_cloudflare=case.via_cloudflare)

    error = verdict.error
    assert (verdict.outcome, error.status, error.code, error.type) == (case.outcome, *case.answer)
    assert (verdict.alarm, error.retryable) == (case.alarm, case.retryable)
    assert not any(secret in error.message for secret in ("request id", "sk-", "Panic", "令牌", "RemainQuota"))
    assert error.message


def test_the_words_of_the_provider_are_shown_clean() -> None:
    body = handler("moderation_blocked", "Rejected by the safety system, see https://help.openai.com/x.")

    verdict = classify_refusal(400, "application/json", json.dumps(body).encode(), None)

    assert verdict.error.message == "Rejected by the safety system, see"


def test_a_403_about_the_organization_is_told_in_the_words_of_the_provider() -> None:
    body = json.dumps({"error": {"message": VERIFY, "type": REFUSED, "param": None, "code": None}}).encode()

    error = classify_refusal(403, "application/json", body, None).error

    assert error.message == "Your organization must be verified to use the model `gpt-image-1`. Please go to:"


def test_the_messages_of_a_422_are_joined() -> None:
    error = classify_refusal(422, "application/json", json.dumps({"detail": MISSING}).encode(), None).error

    assert error.message == "size is odd; n is odd"


def test_a_verdict_has_what_the_relay_said_for_the_administrator() -> None:
    body = middleware("[sk-abc***xyz] 该令牌额度已用尽", "x1")

    refusal = classify_refusal(401, "application/json", json.dumps(body).encode(), None).refusal

    assert refusal is not None
    assert (refusal.status, refusal.code, refusal.words) == (401, "x1", "该令牌额度已用尽")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (handler("insufficient_user_quota", "x")["error"], WALLET[:2]),
        (handler("sensitive_words_detected", "x")["error"], as_sent(400, "sensitive_words_detected")),
        (handler("model_price_error", "x")["error"], NO_MODEL),
        ({"code": "moderation_blocked", "message": "no"}, ("unknown", (424, "moderation_blocked", UPSTREAM))),
        ({"code": "rate_limit_exceeded", "message": "no"}, ("unknown", (424, "rate_limit_exceeded", UPSTREAM))),
        ({"message": "no"}, UNKNOWN),
        ("no", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_an_error_event_is_released_only_for_a_code_that_is_never_charged(error: Any, expected: Any) -> None:
    verdict = classify_event_error(error)

    assert (verdict.outcome, (verdict.error.status, verdict.error.code, verdict.error.type)) == expected
    assert not verdict.error.retryable


def test_the_field_the_provider_names_is_told() -> None:
    body = {"error": {"message": "no", "type": REFUSED, "param": "image[0]", "code": 1234}}

    error = classify_refusal(400, "application/json", json.dumps(body).encode(), None).error

    assert (error.param, error.code) == ("image[0]", "1234")


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (None, 5),
        ("7", 7),
        ("0.2", 1),
        ("1.2", 2),
        ("0", 1),
        ("-5", 1),
        ("86400", 60),
        ("1e308", 60),
        ("inf", 60),
        ("nan", 5),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 12:00:30", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 1),
        ("Sat, 21 Nov 2099 11:00:00 GMT", 60),
        ("soon", 5),
        ("", 5),
        ("9" * 5000, 60),
        ("Sat, 99 Nov 99999 11:00:00 GMT", 5),
    ],
)
def test_retry_after_is_one_to_sixty_seconds_whatever_the_relay_says(told: str | None, seconds: int) -> None:
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)

    verdict = classify_refusal(429, "application/json", b"", told, lambda: noon)

    assert verdict.error.retry_after_s == seconds
