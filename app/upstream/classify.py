"""Classification of the relay's refusals for the books: certainly not charged, or possibly charged.

A hold is released only on an answer that is never charged: the relay's own checks before it forwards a request, its 429, and a
provider's 4xx. Every other answer keeps its hold until it is reconciled. The rules come from the relay's source.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from app.errors import (
    GatewayError,
    RelayRefusedRequest,
    UpstreamMisconfigured,
    UpstreamModelUnavailable,
    UpstreamOutcomeUnknown,
    UpstreamRateLimited,
    UpstreamWalletEmpty,
)
from app.upstream.redaction import clean_message

HEAD_BYTES: Final = 64 * 1024
"""Bytes of a refusal that `classify_refusal` needs; an error in the relay's envelope is far smaller."""

_WALLET_CODES: Final = frozenset({"insufficient_quota", "insufficient_user_quota", "pre_consume_token_quota_failed"})
_WALLET_PHRASES: Final = (
    "额度已用尽",
    "额度不足",
    "预扣费额度失败",
    "余额不足",
    "quota is not enough",
    "pre-consumed quota failed",
    "quota exhausted",
    "insufficient quota",
    "insufficient balance",
)
_NEVER_CHARGED_CHECKS: Final = frozenset({"invalid_request", "sensitive_words_detected", "convert_request_failed"})
_NO_CHANNEL_PHRASES: Final = ("无可用渠道", "no available channel", "No available channel")
_NO_PRICE_OR_CHANNEL: Final = frozenset({"model_price_error", "get_channel_failed"})
_RELAY_TYPES: Final = frozenset({"new_api_error", "one_api_error"})
_UNSUPPORTED_STATUSES: Final = frozenset({404, 405})
_UNCLEAR_STATUSES: Final = frozenset({408, 409, 425, 499})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of a request: `released` was not charged; `unknown` may have been, so its hold stays. `alarm`: an administrator must
    act."""

    outcome: Literal["released", "unknown"]
    error: GatewayError
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Parsed refusal. `enveloped`: its body is `{"error": {...}}`. Missing texts are empty."""

    status: int
    is_page: bool
    enveloped: bool
    code: str
    type: str
    param: str
    message: str

    @property
    def reports_no_channel(self) -> bool:
        """True when no channel serves the model. The older relay reports that with a phrase and no code."""
        has_phrase = self.type in _RELAY_TYPES and any(phrase in self.message for phrase in _NO_CHANNEL_PHRASES)
        return self.code == "model_not_found" or (has_phrase and not self.code)


def classify_refusal(
    status: int,
    content_type: str,
    head: bytes,
    retry_after: str | None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Verdict:
    """Classify an answer that is not a readable 200. `head` is its first HEAD_BYTES; never raises.

    `now` is called only when Retry-After is a date. The texts of a 401 and a 403 are never shown: they can contain our key.
    """
    refusal = _read(status, content_type, head)
    if status == 429:
        return _too_many(refusal, _retry_after_s(retry_after, now))
    if status == 407:
        return _proxy_refused()
    if not 400 <= status < 600 or refusal.is_page:
        # A page or a redirect below 500 means a wrong address or an intercepting proxy, which an administrator must fix.
        return unknown(_unexpected(refusal), alarm=status < 500 and (refusal.is_page or status >= 300))
    return _client_error(refusal) if status < 500 else _server_error(refusal)


def unknown(what_happened: str, *, alarm: bool = False) -> Verdict:
    """Build the verdict on a request that may have been charged; `what_happened` is one sentence for the client."""
    advice = "The image may have been charged, so do not send the request again; an administrator can look it up."
    return Verdict("unknown", UpstreamOutcomeUnknown(f"{what_happened} {advice}"), alarm)


def error_text(error: Any) -> str:
    """Return the cleaned message of the relay's error, an object or a string; empty without one."""
    message = error.get("message") if isinstance(error, dict) else error
    return clean_message(message).rstrip(".。") if isinstance(message, str) else ""


def _too_many(refusal: _Refusal, retry_after_s: int | None) -> Verdict:
    if _reports_empty_wallet(refusal):
        return _wallet_empty()
    message = "The upstream is busy and took on nothing; try again shortly."
    return Verdict("released", UpstreamRateLimited(message, retry_after_s=retry_after_s))


def _client_error(refusal: _Refusal) -> Verdict:
    if _reports_empty_wallet(refusal):
        return _wallet_empty()
    if refusal.status in (401, 403):
        return _misconfigured(refusal.status)
    if refusal.code in _NO_PRICE_OR_CHANNEL:
        return _unavailable("has no price or no channel for this model")
    if refusal.status in _UNSUPPORTED_STATUSES and not refusal.code:
        return _unavailable(f"does not do this operation (status {refusal.status})")
    if refusal.status in _UNCLEAR_STATUSES and not refusal.enveloped:
        return unknown(_unexpected(refusal))
    return _refused(refusal, refusal.status)


def _server_error(refusal: _Refusal) -> Verdict:
    if refusal.status in (502, 504, 524):
        return unknown(_unexpected(refusal))
    if refusal.code in _WALLET_CODES:
        return _wallet_empty()
    if refusal.code in _NEVER_CHARGED_CHECKS:
        return _refused(refusal, 400, type="invalid_request_error")
    if refusal.code in _NO_PRICE_OR_CHANNEL:
        return _unavailable("has no price or no channel for this model")
    if refusal.status == 501 and refusal.enveloped:
        return _unavailable("does not do this operation")
    if refusal.status == 503 and refusal.reports_no_channel:
        return _unavailable("has no channel for this model")
    return unknown(_unexpected(refusal))


def _refused(refusal: _Refusal, status: int, type: str | None = None) -> Verdict:
    """Build the verdict on a request that the relay or the provider rejected, with their cleaned message."""
    error = RelayRefusedRequest(
        clean_message(refusal.message) or f"The upstream refused this request (status {refusal.status}).",
        status=status,
        code=refusal.code or None,
        type=type or (refusal.type if refusal.type not in _RELAY_TYPES else None) or None,
        param=refusal.param or None,
    )
    return Verdict("released", error)


def _misconfigured(status: int) -> Verdict:
    message = (
        f"The upstream does not accept this gateway's key (status {status}). Nothing was charged. An administrator must check "
        "IMAGEGATE_UPSTREAM_API_KEY: whether it is right and enabled, its quota, models, group and allowed addresses."
    )
    return Verdict("released", UpstreamMisconfigured(message), alarm=True)


def _proxy_refused() -> Verdict:
    message = (
        "The proxy to the upstream does not let this gateway through (status 407). Nothing was charged. An administrator must "
        "check the user and the password in IMAGEGATE_UPSTREAM_PROXY."
    )
    return Verdict("released", UpstreamMisconfigured(message), alarm=True)


def _wallet_empty() -> Verdict:
    message = (
        "The gateway's balance at the upstream, or the quota of its key there, is used up. Nothing was charged. "
        "An administrator must top it up."
    )
    return Verdict("released", UpstreamWalletEmpty(message), alarm=True)


def _unavailable(why: str) -> Verdict:
    message = f"The upstream {why}. Nothing was charged. An administrator can see what it offers with: imagegate doctor"
    return Verdict("released", UpstreamModelUnavailable(message))


def _unexpected(refusal: _Refusal) -> str:
    what = "a web page" if refusal.is_page else "an error" if refusal.enveloped else "something unreadable"
    return f"The upstream answered with {what} (status {refusal.status})."


def _reports_empty_wallet(refusal: _Refusal) -> bool:
    """True when our balance or quota is used up. Phrases count only with statuses that the relay itself sends: a provider's 400
    can quote the prompt."""
    if refusal.status == 402 or refusal.code in _WALLET_CODES or refusal.type == "insufficient_quota":
        return True
    text = refusal.message.lower()
    return refusal.status in (401, 403, 429) and any(phrase in text for phrase in _WALLET_PHRASES)


def _read(status: int, content_type: str, head: bytes) -> _Refusal:
    is_page = "html" in content_type.lower() or head[:256].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
    document = None if is_page else _parse_json(head)
    error = document.get("error") if isinstance(document, dict) else None
    enveloped = isinstance(error, dict)
    fields: dict[str, Any] = error if isinstance(error, dict) else document if isinstance(document, dict) else {}
    message = error if isinstance(error, str) else _text(fields.get("message")) or _text(fields.get("detail"))
    names = fields if enveloped else {}
    code, kind = _short_name(names.get("code")), _short_name(names.get("type"))
    return _Refusal(status, is_page, enveloped, code, kind, _short_name(names.get("param")), message)


def _parse_json(head: bytes) -> Any:
    try:
        return json.loads(head)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _short_name(value: Any) -> str:
    """Return a code, type or parameter name; codes can be numbers. Values that are long or name the relay become empty."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= 100 and text.isprintable() and clean_message(text) == text else ""


def _retry_after_s(value: str | None, now: Callable[[], datetime]) -> int | None:
    """Parse Retry-After into whole seconds, rounded up and within 1 to 60; None when it is missing or invalid."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now)
    return None if math.isnan(seconds) else math.ceil(min(max(seconds, 1), 60))


def _seconds_until(date: str, now: Callable[[], datetime]) -> float:
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError, IndexError):
        return math.nan
    return (when.replace(tzinfo=when.tzinfo or UTC) - now()).total_seconds()
