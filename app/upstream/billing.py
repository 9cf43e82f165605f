"""The relay's own accounts, as far as the key may see them: its log of charges, and what it says was used.

Which of them exist depends on the relay's age and on its operator. What is missing is said and never an error. The key goes
into a query only where the relay takes it in no other way, and neither it nor such an address is ever logged or raised.
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
"""A log of this many rows has lost older ones."""
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
TIMEOUT_S: Final = 30.0

LOG, TOKEN, USAGE, SUBSCRIPTION = (
    "/api/log/token",
    "/api/usage/token/",
    "/v1/dashboard/billing/usage",
    "/v1/dashboard/billing/subscription",
)
_CONSUMED, _REFUNDED = 2, 6
_UNLIMITED_DOLLARS = 100_000_000


class Unusable(Exception):
    """An account that is not there or cannot be read; the message says why and holds nothing secret."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """A charge of the relay, or a refund with negative points. `at_ms` is the relay's clock, to the second; `request_id` is
    empty where the relay does not log it (profile C).

    `proof` names the row for good. The ids of the log cannot: one relay shows them modulo 1024, the other counts from the
    newest row. Rows alike in everything are numbered; which of them is which does not matter.
    """

    proof: str
    at_ms: int
    model: str
    points: int
    request_id: str


@dataclass(frozen=True, slots=True)
class Log:
    """Charges, oldest first. `oldest_at_ms` is that of any row, None when there is none; `cut`: older ones are not shown."""

    rows: tuple[LogRow, ...]
    oldest_at_ms: int | None
    cut: bool


@dataclass(frozen=True, slots=True)
class Account:
    """What the relay says of the key, in points. `left_points` is None where it is unlimited or not told."""

    used_points: int | None
    left_points: int | None
    unlimited: bool


@dataclass(frozen=True, slots=True)
class Accounts:
    """`missing` says of each account that could not be read why; `log` is None where that is the log."""

    log: Log | None
    account: Account
    missing: tuple[str, ...]


async def read_accounts(upstream: RelayReader, api_key: str, timeout_s: float = TIMEOUT_S) -> Accounts:
    """Everything the relay tells. Never raises for what the relay does: three or four requests, `timeout_s` for each."""
    reader = _Reader(upstream, timeout_s, [])
    log = await _read_log(reader, api_key)
    token = await reader.account(TOKEN, token_account)
    if token is None:
        used = await reader.account(USAGE, used_points)
        limit = await reader.account(SUBSCRIPTION, limit_points)
        token = _together(used, limit)
    return Accounts(log, token, tuple(reader.missing))


def read_log(document: Any) -> Log:
    """The log as the relay tells it. Raises Unusable."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(document, dict) or document.get("success") is not True or not isinstance(data, list | None):
        raise Unusable("is not a log")
    shown = [row for row in data or [] if isinstance(row, dict) and _whole(row.get("created_at")) is not None]
    charges = sorted((row for row in shown if _points(row) is not None), key=lambda row: row["created_at"])
    times: Counter[str] = Counter()
    rows = []
    for row in charges:
        name = _name(row)
        times[name] += 1
        rows.append(_row(row, f"{name}#{times[name]}"))
    oldest_ms = min((int(row["created_at"]) * 1000 for row in shown), default=None)
    return Log(tuple(rows), oldest_ms, len(data or []) >= LOG_ROWS_MAX)


def token_account(document: Any) -> Account:
    """`/api/usage/token/` (profile N), in points. Raises Unusable."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict) or _whole(data.get("total_used")) is None:
        raise Unusable("is not the account of a key")
    unlimited = data.get("unlimited_quota") is True
    left = None if unlimited else _whole(data.get("total_available"))
    return Account(_whole(data["total_used"]), left, unlimited)


def used_points(document: Any) -> int:
    """`/v1/dashboard/billing/usage`: hundredths of a site dollar over all time, whatever dates are asked for. Raises Unusable."""
    hundredths = document.get("total_usage") if isinstance(document, dict) else None
    if isinstance(hundredths, bool) or not isinstance(hundredths, int | float) or not abs(hundredths) < 10**15:
        raise Unusable("is not a bill")
    return round(hundredths * POINTS_PER_DOLLAR / 100)


def limit_points(document: Any) -> int | None:
    """`/v1/dashboard/billing/subscription`: what the key may use in all; None without a limit. Raises Unusable."""
    dollars = document.get("hard_limit_usd") if isinstance(document, dict) else None
    if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < 10**15:
        raise Unusable("is not a subscription")
    return None if dollars >= _UNLIMITED_DOLLARS else round(dollars * POINTS_PER_DOLLAR)


def micros_of(points: int, micros_per_dollar: int) -> int:
    """Points in our currency, rounded up."""
    return -(-points * micros_per_dollar // POINTS_PER_DOLLAR)


@dataclass(frozen=True, slots=True)
class _Reader:
    upstream: RelayReader
    timeout_s: float
    missing: list[str]

    async def account(self, path: str, parse: Any) -> Any:
        """None, and a word in `missing`, when it cannot be had."""
        try:
            return parse(await self.document(path))
        except Unusable as exc:
            self.missing.append(f"{path} {exc}")
            return None

    async def document(self, path: str) -> Any:
        return await read_document(self.upstream, path, self.timeout_s)


async def read_document(upstream: RelayReader, path: str, timeout_s: float) -> Any:
    """The JSON of a 200. Raises Unusable."""
    try:
        async with asyncio.timeout(timeout_s):
            answer = await upstream.get(path)
            try:
                body = await _body(answer)
            finally:
                await answer.close()
    except (NotSent, Broken, TimeoutError) as exc:
        raise Unusable(f"cannot be had: {type(exc).__name__}") from None
    try:
        return await asyncio.to_thread(json.loads, body)
    except (ValueError, RecursionError):
        raise Unusable("is not JSON") from None


async def _body(answer: Answer) -> bytes:
    if answer.status != 200:
        raise Unusable(f"answered {answer.status}")
    if "html" in answer.content_type:
        raise Unusable("is not there: a page came back")
    body = bytearray()
    async for chunk in answer.chunks():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise Unusable("is too long to be read")
    return bytes(body)


async def _read_log(reader: _Reader, api_key: str) -> Log | None:
    """The newer relay takes the bearer. The older one looks for the key in the query only; without it, it shows nothing or
    refuses, so it is asked once more."""
    try:
        log = read_log(await reader.document(LOG))
        if log.oldest_at_ms is not None:
            return log
    except Unusable as exc:
        if "429" in str(exc):  # Asking again would only prolong it.
            reader.missing.append(f"{LOG} {exc}")
            return None
    try:
        return read_log(await reader.document(f"{LOG}?key={quote(api_key, safe='')}"))
    except Unusable as exc:
        reader.missing.append(f"{LOG} {exc}")
        return None


def _together(used: int | None, limit: int | None) -> Account:
    left = None if used is None or limit is None else limit - used
    return Account(used, left, unlimited=used is not None and limit is None)


def _points(row: Mapping[str, Any]) -> int | None:
    """What the row took, refunds negative; None for a row of another kind, and for one that took nothing."""
    points = _whole(row.get("quota"))
    if points is None or points <= 0 or row.get("type") not in (_CONSUMED, _REFUNDED):
        return None
    return points if row["type"] == _CONSUMED else -points


def _row(row: Mapping[str, Any], proof: str) -> LogRow:
    return LogRow(proof, int(row["created_at"]) * 1000, _text(row, "model_name"), _points(row) or 0, _request_id(row))


def _name(row: Mapping[str, Any]) -> str:
    """What of a row never changes."""
    facts = [row["created_at"], row.get("type"), _text(row, "model_name"), _points(row)]
    told = [_whole(row.get(name)) for name in ("prompt_tokens", "completion_tokens", "use_time")]
    return ":".join(str(fact) for fact in (*facts, *told, _request_id(row)))


def _request_id(row: Mapping[str, Any]) -> str:
    return _text(row, "request_id")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value[:128] if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    """A whole number of a sane size; relays written in other languages also send them as 5.0."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 10**15:
        return None
    return int(value) if value == int(value) else None
