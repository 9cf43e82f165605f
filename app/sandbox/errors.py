"""Errors of the relay by name, one for each profile; the hint `[[sandbox error=name]]` asks for one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .records import Profile

# Source of the error, which decides its envelope: the checks before routing, the handler after them, the provider
# behind the relay, or a proxy in front of it.
Origin = Literal["gate", "handler", "provider", "proxy", "bare"]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """Error answer of the relay. `message` may contain `{model}`; `charged`: the provider finished and billed all the same."""

    status: int
    message: str
    code: str | None = ""
    origin: Origin = "handler"
    type: str = "new_api_error"
    param: str = ""
    charged: bool = False


class SandboxError(Exception):
    """Refusal by the relay or its provider; `row` is the answer."""

    def __init__(self, row: ErrorRow, **values: str):
        super().__init__(row.message)
        self.row = row
        self.values = values


def gate(status: int, message: str, code: str = "") -> ErrorRow:
    return ErrorRow(status, message, code, "gate")


def provider(
    status: int, message: str, code: str | None, type_: str = "invalid_request_error", param: str = ""
) -> ErrorRow:
    return ErrorRow(status, message, code, "provider", type_, param)


def both(row: ErrorRow) -> dict[Profile, ErrorRow]:
    return {"C": row, "N": row}


def proxy(status: int, title: str, *, charged: bool = False) -> dict[Profile, ErrorRow]:
    return both(ErrorRow(status, title, origin="proxy", charged=charged))


INVALID_KEY = gate(401, "无效的令牌")
MODEL_MISSING = gate(400, "未指定模型名称，模型名称不能为空")

ERRORS: dict[str, dict[Profile, ErrorRow]] = {
    "no_key": {"C": gate(401, "未提供令牌"), "N": INVALID_KEY},
    "unauthorized": both(INVALID_KEY),
    "key_disabled": {"C": gate(401, "该令牌状态不可用"), "N": INVALID_KEY},
    "key_expired": {"C": gate(401, "该令牌已过期"), "N": INVALID_KEY},
    "key_quota": {
        "C": gate(
            401,
            "[sk-abc***xyz] 该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = 0",
        ),
        "N": INVALID_KEY,
    },
    "channel_choice": both(gate(403, "普通用户不支持指定渠道")),
    "ip": both(gate(403, "您的 IP 不在令牌允许访问的列表中", "access_denied")),
    "banned": both(gate(403, "用户已被封禁")),
    "model_forbidden": both(gate(403, "该令牌无权访问模型 {model}")),
    "no_channel": {
        "C": gate(503, "当前分组 default 下对于模型 {model} 无可用渠道"),
        "N": gate(503, "分组 default 下模型 {model} 无可用渠道（distributor）", "model_not_found"),
    },
    "bad_json": {
        "C": gate(400, "Invalid request, 无效的请求, invalid character looking for beginning of value"),
        "N": gate(400, "无效的请求，无效的请求，invalid JSON request body"),
    },
    "no_model": both(MODEL_MISSING),
    "rate_limited": both(gate(429, "您已达到请求数限制：1分钟内最多请求60次")),
    "rate_limited_empty": both(ErrorRow(429, "", origin="bare")),
    "overloaded": both(gate(503, "system memory overloaded", "system_memory_overloaded")),
    "get_channel_failed": both(
        ErrorRow(500, "获取分组 default 下模型 {model} 的可用渠道失败（retry）", "get_channel_failed")
    ),
    "prompt_missing": both(ErrorRow(400, "prompt is required", "invalid_image_request")),
    "bad_field": {
        "C": ErrorRow(400, "json: cannot unmarshal into field of type ImageRequest", "invalid_image_request"),
        "N": ErrorRow(500, "json: cannot unmarshal into field of type ImageRequest", "invalid_request"),
    },
    "n_range": both(ErrorRow(500, "n must be an integer between 1 and 128", "invalid_request")),
    "bad_size": {
        "C": ErrorRow(
            400, "size an unexpected error occurred in the parameter, please use 'x'", "invalid_image_request"
        ),
        "N": ErrorRow(500, "size an unexpected error occurred in the parameter, please use 'x'", "invalid_request"),
    },
    "not_multipart": both(ErrorRow(400, "request Content-Type isn't multipart/form-data", "invalid_image_request")),
    "convert": both(ErrorRow(500, "image is required", "convert_request_failed")),
    "edit_unsupported": both(ErrorRow(500, "not implemented", "convert_request_failed")),
    "word_filter": {
        "C": ErrorRow(400, "user sensitive words detected", "invalid_image_request"),
        "N": ErrorRow(500, "sensitive_words_detected", "sensitive_words_detected"),
    },
    "no_price": {
        "C": ErrorRow(500, "模型 {model} 倍率或价格未配置，请联系管理员设置", "model_price_error"),
        "N": ErrorRow(400, "模型 {model} 倍率或价格未配置，请联系管理员设置", "model_price_error"),
    },
    "wallet": {
        "C": ErrorRow(403, "user quota is not enough", "insufficient_user_quota"),
        "N": ErrorRow(403, "用户额度不足, 剩余额度: ＄0.000000", "insufficient_user_quota"),
    },
    "wallet_short": {
        "C": ErrorRow(
            403,
            "image pre-consumed quota failed, user quota: ＄0.010000, need quota: ＄1.000000",
            "insufficient_user_quota",
        ),
        "N": ErrorRow(
            403, "预扣费额度失败, 用户剩余额度: ＄0.010000, 需要预扣费额度: ＄1.000000", "insufficient_user_quota"
        ),
    },
    "key_quota_403": both(
        ErrorRow(
            403,
            "token quota is not enough, token remain quota: ＄0.010000, need quota: ＄1.000000",
            "pre_consume_token_quota_failed",
        )
    ),
    "not_implemented": both(ErrorRow(501, "API not implemented", "api_not_implemented")),
    "network": {
        "C": ErrorRow(500, "请求上游地址失败", "do_request_failed"),
        "N": ErrorRow(500, "upstream error: do request failed", "do_request_failed"),
    },
    "bad_response_body": both(
        ErrorRow(500, "invalid character '<' looking for beginning of value", "bad_response_body")
    ),
    "panic": both(ErrorRow(500, "Panic detected, error: runtime error", None, "bare", "new_api_panic")),
    "provider_rate_limited": {
        "C": provider(429, "当前分组上游负载已饱和，请稍后再试", "rate_limit_exceeded", "requests"),
        "N": provider(429, "Rate limit reached for images per minute.", "rate_limit_exceeded", "requests"),
    },
    "provider_quota": {
        "C": provider(429, "当前分组上游负载已饱和，请稍后再试", "insufficient_quota", "insufficient_quota"),
        "N": provider(429, "You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    },
    "moderation": both(
        provider(
            400,
            "Your request was rejected as a result of our safety system.",
            "moderation_blocked",
            "image_generation_user_error",
        )
    ),
    "content_policy": both(
        provider(400, "Your prompt may contain text that is not allowed.", "content_policy_violation")
    ),
    "provider_500": both(provider(500, "The server had an error while processing your request.", None, "server_error")),
    "provider_html_502": {
        "C": ErrorRow(
            502, "bad response status code 502", "bad_response_status_code", type="upstream_error", param="502"
        ),
        "N": provider(502, "openai_error", "bad_response_status_code", "bad_response_status_code"),
    },
    "unverified_organization": both(
        provider(
            403,
            "Your organization must be verified to use the model `gpt-image-1`. Please go to: "
            "https://platform.openai.com/settings/organization/general and click on Verify Organization.",
            None,
        )
    ),
    "too_large": proxy(413, "413 Request Entity Too Large"),
    "proxy_502": proxy(502, "502 Bad Gateway"),
    "proxy_504": proxy(504, "504 Gateway Time-out", charged=True),
    "cf_524": proxy(524, "524: A timeout occurred", charged=True),
    "cf_521": proxy(521, "521: Web server is down"),
    "redirect": proxy(307, "307 Temporary Redirect"),
    "redirect_303": proxy(303, "303 See Other", charged=True),
}


def unknown_url(method: str, path: str) -> dict[str, object]:
    """Error body for a path or method that the relay's API does not have."""
    return envelope(f"Invalid URL ({method} {path})", "invalid_request_error", code="")


def envelope(message: str, type_: str, *, param: str = "", code: str | None = None) -> dict[str, object]:
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def error_body(row: ErrorRow, profile: Profile, request_id: str, values: Mapping[str, str]) -> bytes:
    """Encode the error: an HTML page if it comes from a proxy, else JSON in the envelope of its origin."""
    if row.origin == "proxy":
        return f"<html><head><title>{row.message}</title></head><body><h1>{row.message}</h1></body></html>".encode()
    if not row.message:
        return b""
    return json.dumps({"error": _error(row, profile, request_id, values)}, ensure_ascii=False).encode()


def _error(row: ErrorRow, profile: Profile, request_id: str, values: Mapping[str, str]) -> dict[str, object]:
    message = row.message.replace("{model}", values.get("model", ""))
    signed = f"{message} (request id: {request_id})"
    match row.origin:
        case "gate":
            error: dict[str, object] = {"message": signed, "type": row.type}
            return error if profile == "C" else {**error, "code": row.code}
        case "bare":
            return {"message": message, "type": row.type}
        case "provider" if profile == "N":
            return {"message": message, "type": row.type, "param": row.param, "code": row.code}
        case _:
            return {"message": signed, "type": row.type, "param": row.param, "code": row.code}
