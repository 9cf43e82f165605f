"""Sliding window: the spends of one limit in the last minute.

A sliding window, not GCRA and not a fixed window: people read "10 per minute" as "at most 10 in any 60 seconds", and only
this algorithm guarantees it. GCRA needs one number only, but it lets a full burst pass and then refills evenly: 10 at
once and 9 more within the minute, 19 in 60 seconds. A fixed window lets 20 pass around its edge.

An exact window needs memory for each spend. To bound it, spends of one clock second share an entry with the time of the
last of them: at most 61 entries for any amount. An entry may expire up to one second late, never early, and never more
than 60 s from now, so Retry-After is at most 60.
"""

from __future__ import annotations

from collections import deque

from app.rates.limits import SECOND_US, WINDOW_US, RateCharge


class Window:
    """Spends of one limit, oldest first. Times are whole microseconds of one monotonic clock."""

    __slots__ = ("_entries", "used")

    def __init__(self) -> None:
        self.used = 0
        self._entries: deque[tuple[int, int]] = deque()  # (time of the last spend in this second, sum of its spends)

    def __len__(self) -> int:
        """Return the number of entries, at most 61."""
        return len(self._entries)

    def expire(self, now_us: int) -> None:
        """Drop entries that are a minute old. Must be called before every other method."""
        while self._entries and now_us - self._entries[0][0] >= WINDOW_US:
            self.used -= self._entries.popleft()[1]

    def add(self, cost: int, now_us: int) -> None:
        """Count a spend, even one above the limit."""
        self.used += cost
        if self._entries and self._entries[-1][0] // SECOND_US == now_us // SECOND_US:
            cost += self._entries.pop()[1]
        self._entries.append((now_us, cost))

    def reset_us(self, now_us: int) -> int:
        """Return the microseconds until the whole limit is available again."""
        return self._entries[-1][0] + WINDOW_US - now_us if self._entries else 0

    def wait_us(self, charge: RateCharge, now_us: int) -> int:
        """Return the microseconds until this charge fits: 0 if it fits now, a full minute if it never fits."""
        missing = self.used + charge.cost - charge.limit.amount
        if missing <= 0 or charge.cost == 0:
            return 0
        for at_us, cost in self._entries:
            missing -= cost
            if missing <= 0:
                return at_us + WINDOW_US - now_us
        return WINDOW_US
