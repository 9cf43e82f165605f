"""Sliding window of what one limit let pass in the last minute.

A sliding window, not GCRA and not a fixed window. "10 per minute" is read as "at most 10 in any 60 seconds", and this
is the algorithm that promises exactly that. GCRA is smaller (one number) but lets a full burst pass and then refills
evenly: 10 at once and 9 more within the minute, 19 in 60 seconds. A fixed window lets 20 pass around its edge.

What the exact promise costs is memory for each spend, so spends of one clock second share an entry that carries the
time of the last of them: at most 61 entries whatever the amount, and an entry can only leave later than exact (by less
than one second), never earlier. None leaves more than 60 s after now, which keeps a true Retry-After within 60.
"""

from __future__ import annotations

from collections import deque

from app.rates.limits import SECOND_US, WINDOW_US, RateCharge


class Window:
    """Spends of one limit, oldest first. Times are whole microseconds of one monotonic clock."""

    __slots__ = ("_entries", "used")

    def __init__(self) -> None:
        self.used = 0
        self._entries: deque[tuple[int, int]] = deque()  # (time of the last spend in this second, how much)

    def __len__(self) -> int:
        """How many entries are kept: at most 61."""
        return len(self._entries)

    def expire(self, now_us: int) -> None:
        """Forget what is a whole minute old. Comes before every other question."""
        while self._entries and now_us - self._entries[0][0] >= WINDOW_US:
            self.used -= self._entries.popleft()[1]

    def add(self, cost: int, now_us: int) -> None:
        """Count a spend, without asking whether there is room."""
        self.used += cost
        if self._entries and self._entries[-1][0] // SECOND_US == now_us // SECOND_US:
            cost += self._entries.pop()[1]
        self._entries.append((now_us, cost))

    def reset_us(self, now_us: int) -> int:
        """Microseconds until all of the limit is there again."""
        return self._entries[-1][0] + WINDOW_US - now_us if self._entries else 0

    def wait_us(self, charge: RateCharge, now_us: int) -> int:
        """Microseconds until there is room for this charge; 0 is now, a whole minute where it can never pass."""
        missing = self.used + charge.cost - charge.limit.amount
        if missing <= 0 or charge.cost == 0:
            return 0
        for at_us, cost in self._entries:
            missing -= cost
            if missing <= 0:
                return at_us + WINDOW_US - now_us
        return WINDOW_US
