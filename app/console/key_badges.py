"""Badges of a key, which name what its owner should look at, and the limit that it is nearest to."""

from collections.abc import Sequence

from app.control.limits import LimitState
from app.core.intervals import DAY_MS
from app.store.keys import KeyRecord

UNUSED_MS = 30 * DAY_MS


def badges(key: KeyRecord, limits: Sequence[LimitState], now_ms: int) -> list[str]:
    """List what is unusual about a key that works: `no_limit` of money or images, `no_expiry`, `unused` for 30 days, `read_only`;
    `rotated` while its old secret works, too."""
    if key.status_at(now_ms) != "active":
        return []
    last_ms = key.last_used_at_ms or key.created_at_ms
    facts = {
        "no_limit": not any(state.limit.unit in ("micros", "images") and not state.limit.is_rate for state in limits),
        "no_expiry": key.expires_at_ms is None,
        "unused": now_ms - last_ms > UNUSED_MS,
        "read_only": key.models == (),
        "rotated": (key.previous_until_ms or 0) > now_ms,
    }
    return [name for name, is_so in facts.items() if is_so]


def tightest(limits: Sequence[LimitState]) -> LimitState | None:
    """Return the limit of money or images of the key or its user of which most is used; None without one."""
    counted = [
        state
        for state in limits
        if state.spent is not None and state.limit.unit in ("micros", "images") and state.limit.scope in ("key", "user")
    ]
    return max(counted, key=_share, default=None)


def _share(state: LimitState) -> float:
    return ((state.spent or 0) + (state.held or 0)) / max(state.limit.amount, 1)
