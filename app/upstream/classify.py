"""Classification of the relay's refusals for the books: certainly not charged, or possibly charged.

A hold is released only on an answer that is never charged: the relay's own checks before it forwards a request, its 429, a
provider's 4xx, and the answers of a proxy that show that the relay never got the request. Every other answer keeps its hold until
it is reconciled. The rules come from the relay's source.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from app.errors import (
    BodyTooLarge,
    GatewayError,
    RelayRefusedRequest,
    UpstreamMisconfigured,
    UpstreamModelUnavailable,
    UpstreamOutcomeUnknown,
    UpstreamRateLimited,
    UpstreamUnreachable,
    UpstreamWalletEmpty,
)
from app.upstream.refusal import RELAY_TYPES, RelayRefusal, read_error, read_refusal_head

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
_NO_PRICE_OR_CHANNEL: Final = frozenset({"model_price_error", "get_channel_failed"})
_UNSUPPORTED_STATUSES: Final = frozenset({404, 405})
_UNCLEAR_STATUSES: Final = frozenset({408, 409, 425, 499})
_MOVED_UNREAD: Final = frozenset({301, 307, 308})
"""Redirects that ask for the same request elsewhere. A 302 or 303 may follow a request that was carried out."""
_SENT_BY_PROXIES: Final = frozenset({502, 504, *range(520, 531)})
"""Statuses that a proxy sends of its own whatever became of the request, so that no code in their body proves anything."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of a request: `released` was not charged; `unknown` may have been, so its hold stays. `alarm`: an administrator must
    act. `refusal` is what the relay said, None when it said nothing readable."""

    outcome: Literal["released", "unknown"]
    error: GatewayError
    alarm: bool = False
    refusal: RelayRefusal | None = None

    @property
    def is_about_relay(self) -> bool:
        """True for a free refusal that is about the relay and not about the request, so that another relay may get it."""
        return self.outcome == "released" and isinstance(self.error, _ABOUT_RELAY)


_ABOUT_RELAY: Final = (
    UpstreamMisconfigured,
    UpstreamModelUnavailable,
    UpstreamRateLimited,
    UpstreamUnreachable,
    UpstreamWalletEmpty,
)


def classify_refusal(
    status: int,
    content_type: str,
    head: bytes,
    retry_after: str | None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    via_cloudflare: bool = False,
) -> Verdict:
    """Classify an answer that is not a readable 200. `head` is its first HEAD_BYTES; never raises.

    `now` is called only when Retry-After is a date. `via_cloudflare`: the answer has the header `cf-ray`. No client sees the
    texts of a 401 and a 403 about our key.
    """
    refusal = read_refusal_head(status, content_type, head, via_cloudflare=via_cloudflare)
    return replace(_classify(refusal, _retry_after_s(retry_after, now) if status == 429 else None), refusal=refusal)


def classify_event_error(error: Any) -> Verdict:
    """Classify the error of a stream that has sent no image, an object or a string, like the same error in a plain answer.

    Released only for a code that is never charged: the stream began with a 200, which the relay may have charged.
    """
    refusal = read_error(200, error)
    verdict = _never_charged(refusal)
    if verdict is None:
        text = refusal.words.rstrip(".。") or "no reason given"
        message = f"The upstream reported an error in its stream: {text}. It may have charged the request."
        verdict = Verdict("unknown", UpstreamOutcomeUnknown(message, code=refusal.code or None))
    return replace(verdict, refusal=refusal)


def unknown(what_happened: str, *, alarm: bool = False) -> Verdict:
    """Build the verdict on a request that may have been charged; `what_happened` is one sentence for the client."""
    advice = "The image may have been charged, so do not send the request again; an administrator can look it up."
    return Verdict("unknown", UpstreamOutcomeUnknown(f"{what_happened} {advice}"), alarm)


def _classify(refusal: RelayRefusal, retry_after_s: int | None) -> Verdict:
    status = refusal.status
    if status == 429:
        return _too_many(refusal, retry_after_s)
    if status == 407:
        return _proxy_refused()
    if status in _MOVED_UNREAD:
        return _wrong_address(f"answered with a redirect (status {status})")
    if refusal.never_connected:
        return _unreachable(status)
    if refusal.is_of_proxy:
        return _too_large() if status == 413 else _wrong_address(f"rejected the head of a request (status {status})")
    if not 400 <= status < 600 or refusal.is_page:
        # A page or a redirect below 500 means a wrong address or an intercepting proxy, which an administrator must fix.
        return unknown(_unexpected(refusal), alarm=status < 500 and (refusal.is_page or status >= 300))
    return _client_error(refusal) if status < 500 else _server_error(refusal)


def _too_many(refusal: RelayRefusal, retry_after_s: int | None) -> Verdict:
    if _reports_empty_wallet(refusal):
        return _wallet_empty()
    message = "The upstream is busy and took on nothing; try again shortly."
    return Verdict("released", UpstreamRateLimited(message, retry_after_s=retry_after_s))


def _client_error(refusal: RelayRefusal) -> Verdict:
    if _reports_empty_wallet(refusal):
        return _wallet_empty()
    if refusal.status in (401, 403) and not refusal.is_about_model:
        return _misconfigured(refusal.status)
    if refusal.code in _NO_PRICE_OR_CHANNEL:
        return _unavailable("has no price or no channel for this model")
    if refusal.status in _UNSUPPORTED_STATUSES and not refusal.code:
        return _unavailable(f"does not do this operation (status {refusal.status})")
    if refusal.status == 413 and not refusal.message:
        return _too_large()
    if refusal.status in _UNCLEAR_STATUSES and not refusal.enveloped:
        return unknown(_unexpected(refusal))
    return _refused(refusal, refusal.status)


def _server_error(refusal: RelayRefusal) -> Verdict:
    if refusal.status in _SENT_BY_PROXIES:
        return unknown(_unexpected(refusal))
    if (verdict := _never_charged(refusal)) is not None:
        return verdict
    if refusal.status == 501 and refusal.enveloped:
        return _unavailable("does not do this operation")
    if refusal.status == 503 and refusal.reports_no_channel:
        return _unavailable("has no channel for this model")
    return unknown(_unexpected(refusal))


def _never_charged(refusal: RelayRefusal) -> Verdict | None:
    """Return the verdict on a code that the relay never charges, whatever the status; None for any other code."""
    if refusal.code in _WALLET_CODES:
        return _wallet_empty()
    if refusal.code in _NEVER_CHARGED_CHECKS:
        return _refused(refusal, 400, type="invalid_request_error")
    if refusal.code in _NO_PRICE_OR_CHANNEL:
        return _unavailable("has no price or no channel for this model")
    return None


def _refused(refusal: RelayRefusal, status: int, type: str | None = None) -> Verdict:
    """Build the verdict on a request that the relay or the provider rejected, with their cleaned message."""
    error = RelayRefusedRequest(
        refusal.words or f"The upstream refused this request (status {refusal.status}).",
        status=status,
        code=refusal.code or None,
        type=type or (refusal.type if refusal.type not in RELAY_TYPES else None) or None,
        param=refusal.param or None,
    )
    return Verdict("released", error)


def _misconfigured(status: int) -> Verdict:
    message = (
        f"The upstream does not accept this gateway's key (status {status}). Nothing was charged. An administrator must check "
        "IMAGEGATE_UPSTREAM_API_KEY, or the relay's own key (`imagegate relays list`): whether it is right and enabled, its quota, "
        "models, group and allowed addresses."
    )
    return Verdict("released", UpstreamMisconfigured(message), alarm=True)


def _wrong_address(what_happened: str) -> Verdict:
    message = (
        f"What answers at the upstream's address {what_happened}, so the upstream never got this request. Nothing was charged. An "
        "administrator must check IMAGEGATE_UPSTREAM_BASE_URL, or the relay's own address (`imagegate relays list`), which is "
        "never left for another one."
    )
    return Verdict("released", UpstreamMisconfigured(message), alarm=True)


def _unreachable(status: int) -> Verdict:
    message = (
        f"The upstream cannot be reached from the proxy before it (status {status}); nothing was bought. Try again."
    )
    return Verdict("released", UpstreamUnreachable(message))


def _too_large() -> Verdict:
    message = (
        "This request is too large for the upstream (status 413), which did not read it. Nothing was charged. Send fewer or "
        "smaller images; most relays take less than 10 MB in all."
    )
    return Verdict("released", BodyTooLarge(message))


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


def _unexpected(refusal: RelayRefusal) -> str:
    what = "a web page" if refusal.is_page else "an error" if refusal.enveloped else "something unreadable"
    return f"The upstream answered with {what} (status {refusal.status})."


def _reports_empty_wallet(refusal: RelayRefusal) -> bool:
    """True when our balance or quota is used up. Phrases count only with statuses that the relay itself sends: a provider's 400
    can quote the prompt."""
    if refusal.status == 402 or refusal.code in _WALLET_CODES or refusal.type == "insufficient_quota":
        return True
    text = refusal.message.lower()
    return refusal.status in (401, 403, 429) and any(phrase in text for phrase in _WALLET_PHRASES)


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
