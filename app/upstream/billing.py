"""Reader of the relay's bills: the log of charges of our key, and the totals that the relay states for it.

Not every relay has them: that depends on its version and its operator. A missing one is listed in the result and raises nothing.
The key goes into a query string, where access logs keep it, only with leave and only where the relay accepts it in no other way; no
log and no error of ours contains that address.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from app.upstream.client import Answer, Broken, NotSent, RelayReader

POINTS_PER_DOLLAR: Final = 500_000
LOG_ROWS_MAX: Final = 1000
"""The relay shows no more rows; a log of this length lacks its oldest ones."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
TIMEOUT_S: Final = 30.0

LOG, TOKEN, USAGE, SUBSCRIPTION = (
    "/api/log/token",
    "/api/usage/token/",
    "/v1/dashboard/billing/usage",
    "/v1/dashboard/billing/subscription",
)
_CONSUMED, _REFUNDED = 2, 6
_ONLY_IN_URL: Final = (
    "shows no charge to the key in a header: no request of unknown outcome is proved, and no cost compared. An older relay "
    "takes the key in the address only, which access logs keep; IMAGEGATE_UPSTREAM_LOG_KEY_IN_URL=true allows that"
)
_UNLIMITED_DOLLARS = 100_000_000


class RelayDataError(Exception):
    """Data of the relay that is missing or cannot be read. The message gives the reason and contains no secret."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """Charge of the relay, or a refund with negative points. `at_ms` is by the relay's clock, to the second; `request_id` is
    empty where the relay does not log it (profile C).

    `row_id` identifies the row permanently. The ids of the log do not: one relay shows them modulo 1024, the other counts from
    the newest row. Rows with the same content are numbered, in any order.
    """

    row_id: str
    at_ms: int
    model: str
    points: int
    request_id: str


@dataclass(frozen=True, slots=True)
class ChargeLog:
    """Charges, oldest first. `oldest_at_ms` counts every row and is None without one; `is_truncated`: older rows are missing."""

    rows: tuple[LogRow, ...]
    oldest_at_ms: int | None
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class KeyAccount:
    """Usage of the key as the relay states it, in points. `left_points` is None when unlimited or unknown."""

    used_points: int | None
    left_points: int | None
    unlimited: bool


@dataclass(frozen=True, slots=True)
class RelayBilling:
    """Log and account of the key. `missing` has a reason for each part that could not be read; `log` is None if the log is one."""

    log: ChargeLog | None
    account: KeyAccount
    missing: tuple[str, ...]


NO_BILLS: Final = RelayBilling(None, KeyAccount(None, None, unlimited=False), ())
"""Bills of a relay that was not asked."""


async def read_accounts(upstream: RelayReader, url_key: str | None, timeout_s: float = TIMEOUT_S) -> RelayBilling:
    """Read log and account in two to five requests of at most `timeout_s` seconds each. Never raises for what the relay does.

    `url_key` is the key where it may be sent in an address (IMAGEGATE_UPSTREAM_LOG_KEY_IN_URL), else None.
    """
    reader = _Reader(upstream, timeout_s, [])
    log = await _read_log(reader, url_key)
    account = await _read_account(reader)
    return RelayBilling(log, account, tuple(reader.missing))


async def read_account(upstream: RelayReader, timeout_s: float = TIMEOUT_S) -> KeyAccount:
    """Read the account of our key alone, in one to three requests. Never raises for what the relay does."""
    return await _read_account(_Reader(upstream, timeout_s, []))


def read_log(document: Any) -> ChargeLog:
    """Parse the relay's log. Raises RelayDataError."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("success") is not True or not isinstance(data, list | None):
        raise RelayDataError("is not a log")
    shown = [row for row in data or [] if isinstance(row, dict) and _whole_number(row.get("created_at")) is not None]
    charges = sorted((row for row in shown if _signed_points(row) is not None), key=lambda row: row["created_at"])
    occurrences: Counter[str] = Counter()
    rows = []
    for row in charges:
        identity = _identity(row)
        occurrences[identity] += 1
        rows.append(_row(row, f"{identity}#{occurrences[identity]}"))
    oldest_ms = min((int(row["created_at"]) * 1000 for row in shown), default=None)
    return ChargeLog(tuple(rows), oldest_ms, len(data or []) >= LOG_ROWS_MAX)


def token_account(document: Any) -> KeyAccount:
    """Parse the answer of `/api/usage/token/` (profile N). Raises RelayDataError."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or _whole_number(data.get("total_used")) is None:
        raise RelayDataError("is not the account of a key")
    unlimited = data.get("unlimited_quota") is True
    left = None if unlimited else _whole_number(data.get("total_available"))
    return KeyAccount(_whole_number(data["total_used"]), left, unlimited)


def used_points(document: Any) -> int:
    """Parse the answer of `/v1/dashboard/billing/usage` into points. Raises RelayDataError.

    The relay answers hundredths of a site dollar over all time, whatever dates the query has.
    """
    hundredths = document.get("total_usage") if isinstance(document, dict) else None
    if isinstance(hundredths, bool) or not isinstance(hundredths, int | float) or not abs(hundredths) < 10**15:
        raise RelayDataError("is not a bill")
    return round(hundredths * POINTS_PER_DOLLAR / 100)


def limit_points(document: Any) -> int | None:
    """Parse the answer of `/v1/dashboard/billing/subscription` into points; None if unlimited. Raises RelayDataError."""
    dollars = document.get("hard_limit_usd") if isinstance(document, dict) else None
    if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < 10**15:
        raise RelayDataError("is not a subscription")
    return None if dollars >= _UNLIMITED_DOLLARS else round(dollars * POINTS_PER_DOLLAR)


def points_to_micros(points: int, micros_per_dollar: int) -> int:
    """Convert points into micros of our currency, rounded up."""
    return -(-points * micros_per_dollar // POINTS_PER_DOLLAR)


@dataclass(frozen=True, slots=True)
class _Reader:
    upstream: RelayReader
    timeout_s: float
    missing: list[str]

    async def account(self, path: str, parse: Any) -> Any:
        """Read and parse one account. Return None and add the reason to `missing` when that fails."""
        try:
            return parse(await self.document(path))
        except RelayDataError as exc:
            self.missing.append(f"{path} {exc}")
            return None

    async def document(self, path: str) -> Any:
        return await read_document(self.upstream, path, self.timeout_s)


async def read_document(upstream: RelayReader, path: str, timeout_s: float) -> Any:
    """Read `path` and parse the JSON of a 200. Raises RelayDataError."""
    try:
        async with asyncio.timeout(timeout_s):
            answer = await upstream.get(path)
            try:
                body = await _body(answer)
            finally:
                await answer.close()
    except (NotSent, Broken, TimeoutError) as exc:
        raise RelayDataError(f"cannot be had: {type(exc).__name__}") from None
    try:
        return await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise RelayDataError("is not JSON") from None


async def _body(answer: Answer) -> bytes:
    if answer.status != 200:
        raise RelayDataError(f"answered {answer.status}")
    if "html" in answer.content_type:
        raise RelayDataError("is not there: a page came back")
    body = bytearray()
    async for chunk in answer.chunks():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise RelayDataError("is too long to be read")
    return bytes(body)


async def why_no_log(upstream: RelayReader, url_key: str | None, timeout_s: float = TIMEOUT_S) -> str | None:
    """Return why the log of charges cannot be read, None when it can. Arguments and requests as in `read_accounts`."""
    reader = _Reader(upstream, timeout_s, [])
    await _read_log(reader, url_key)
    return next(iter(reader.missing), None)


async def _read_log(reader: _Reader, url_key: str | None) -> ChargeLog | None:
    """Read the log with the bearer. If it is empty or refused, retry with the key in the query: older relays read it only there.

    Without leave for that an empty log is missing: it may be that of no key, and proves nothing about ours.
    """
    try:
        log = read_log(await reader.document(LOG))
        if log.oldest_at_ms is not None:
            return log
    except RelayDataError as exc:
        if "429" in str(exc):  # Another request would only extend the rate limit.
            reader.missing.append(f"{LOG} {exc}")
            return None
    if url_key is None:
        reader.missing.append(f"{LOG} {_ONLY_IN_URL}")
        return None
    try:
        return read_log(await reader.document(f"{LOG}?key={quote(url_key, safe='')}"))
    except RelayDataError as exc:
        reader.missing.append(f"{LOG} {exc}")
        return None


async def _read_account(reader: _Reader) -> KeyAccount:
    token: KeyAccount | None = await reader.account(TOKEN, token_account)
    if token is not None:
        return token
    used = await reader.account(USAGE, used_points)
    return _billed_account(used, await reader.account(SUBSCRIPTION, limit_points))


def _billed_account(used: int | None, limit: int | None) -> KeyAccount:
    left = None if used is None or limit is None else limit - used
    return KeyAccount(used, left, unlimited=used is not None and limit is None)


def _signed_points(row: Mapping[str, Any]) -> int | None:
    """Return the points of a charge, negative for a refund; None for rows of other types and for zero points."""
    points = _whole_number(row.get("quota"))
    if points is None or points <= 0 or row.get("type") not in (_CONSUMED, _REFUNDED):
        return None
    return points if row["type"] == _CONSUMED else -points


def _row(row: Mapping[str, Any], row_id: str) -> LogRow:
    return LogRow(
        row_id, int(row["created_at"]) * 1000, _text(row, "model_name"), _signed_points(row) or 0, _request_id(row)
    )


def _identity(row: Mapping[str, Any]) -> str:
    """Join the fields of a row that never change."""
    facts = [row["created_at"], row.get("type"), _text(row, "model_name"), _signed_points(row)]
    counts = [_whole_number(row.get(name)) for name in ("prompt_tokens", "completion_tokens", "use_time")]
    return ":".join(str(fact) for fact in (*facts, *counts, _request_id(row)))


def _request_id(row: Mapping[str, Any]) -> str:
    return _text(row, "request_id")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value[:128] if isinstance(value, str) else ""


def _whole_number(value: Any) -> int | None:
    """Return a whole number below 10**15, else None. Some relays send whole numbers as 5.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 10**15:
        return None
    return int(value) if value == int(value) else None
