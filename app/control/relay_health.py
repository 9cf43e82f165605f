"""Health of the relay from the book: success and duration of the last hour and day, refusals by reason, and what is open."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from app.core.intervals import DAY_MS, HOUR_MS
from app.store import relay_health as store
from app.store.engine import Database
from app.store.relay_health import RecentRefusal, RecentRequest
from app.store.unresolved import sum_unresolved

ROWS_MAX = 2000
"""Most requests, and most refusals, of a day that are looked at: the newest."""
BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class HealthWindow:
    """Requests of a time that have ended. `succeeded` brought images; `refused` are those that the provider refused for what they
    asked, such as a prompt. `p95_ms` is the relay's time that 95 of 100 did not exceed; None without one."""

    ended: int
    succeeded: int
    refused: int
    p95_ms: int | None

    @property
    def success_percent(self) -> float | None:
        """Part of the requests that brought images, without those that the provider refused; None without any."""
        judged = self.ended - self.refused
        return 100 * self.succeeded / judged if judged else None


@dataclass(frozen=True, slots=True)
class RefusalReason:
    """Error code that clients were answered in the last hour and day, and whether the relay or its provider gave the reason."""

    code: str
    hour: int
    day: int
    is_of_relay: bool


@dataclass(frozen=True, slots=True)
class RelayHealth:
    """Health at an instant. `trouble` is the code of the newest failure that an administrator must mend, None where a request has
    succeeded since; `is_capped`: the day had more requests than were looked at. `unresolved` counts requests by state."""

    hour: HealthWindow
    day: HealthWindow
    reasons: tuple[RefusalReason, ...]
    trouble: str | None
    is_capped: bool
    unresolved: dict[str, int]


TROUBLES = ("upstream_wallet_empty", "upstream_misconfigured", "upstream_bad_payload", "upstream_unreachable")
"""Codes that say that no request works until somebody acts."""


async def relay_health(database: Database, relay: str | None = None) -> RelayHealth:
    """Read the health from the newest ROWS_MAX requests and refusals of the last day; with `relay` from requests that went to it.
    Raises StoreUnavailable."""
    now_ms = await database.now_ms()
    async with database.read() as connection:
        requests = await store.recent_requests(connection, now_ms - DAY_MS, ROWS_MAX, relay)
        refusals = await store.recent_refusals(connection, now_ms - DAY_MS, ROWS_MAX)
    unresolved: Counter[str] = Counter()
    for sums in await sum_unresolved(database):
        unresolved[sums.state] += sums.requests
    hour_ms = now_ms - HOUR_MS
    return RelayHealth(
        hour=_window([each for each in requests if each.reserved_at_ms >= hour_ms]),
        day=_window(requests),
        reasons=_reasons(requests, refusals, hour_ms),
        trouble=_trouble(requests),
        is_capped=len(requests) == ROWS_MAX,
        unresolved=dict(unresolved),
    )


def _window(requests: Sequence[RecentRequest]) -> HealthWindow:
    ended = [each for each in requests if each.state in ("settled", "released", "unknown")]
    succeeded = sum(_has_succeeded(each) for each in ended)
    refused = sum(each.state == "released" and each.http_status == BAD_REQUEST for each in ended)
    took_ms = sorted(each.upstream_ms for each in ended if each.upstream_ms is not None)
    p95_ms = took_ms[ceil(len(took_ms) * 0.95) - 1] if took_ms else None
    return HealthWindow(len(ended), succeeded, refused, p95_ms)


def _has_succeeded(request: RecentRequest) -> bool:
    return request.state == "settled" and request.error_code is None


def _reasons(
    requests: Sequence[RecentRequest], refusals: Sequence[RecentRefusal], hour_ms: int
) -> tuple[RefusalReason, ...]:
    """Count error codes: those of requests came from the relay or its provider, those of refusals from this gateway."""
    hours: Counter[tuple[bool, str]] = Counter()
    days: defaultdict[tuple[bool, str], int] = defaultdict(int)
    told = [(True, each.error_code, 1, each.reserved_at_ms) for each in requests if each.error_code is not None]
    told += [(False, each.error_code, each.count, each.at_ms) for each in refusals]
    for is_of_relay, code, count, at_ms in told:
        days[is_of_relay, code] += count
        hours[is_of_relay, code] += count if at_ms >= hour_ms else 0
    ranked = sorted(days, key=lambda key: (-days[key], key))
    return tuple(RefusalReason(key[1], hours[key], days[key], key[0]) for key in ranked)


def _trouble(requests: Sequence[RecentRequest]) -> str | None:
    """Return the code of the newest of TROUBLES, unless a request has succeeded after it."""
    for each in requests:
        if _has_succeeded(each):
            return None
        if each.error_code in TROUBLES:
            return each.error_code
    return None
