"""Clock that follows the database's time without asking it at every request."""

import time

STEP_MS = 1000
"""A correction backwards below this is taken by standing still: times of one request never run backwards because of it."""


class Clock:
    """Time of the database in milliseconds. The heartbeat sets it; the monotonic clock moves it on in between, so that intervals
    do not follow a system clock that jumps. Before the first heartbeat it is the machine's own time."""

    def __init__(self) -> None:
        self._last_ms = 0
        self.set(time.time_ns() // 1_000_000)

    def set(self, now_ms: int, asked_s: float | None = None) -> None:
        """Follow the database, which answered `now_ms` to a question sent at `asked_s` of the monotonic clock (None: now).

        The time is counted from the question: a clock behind the database's would not see a price that has begun.
        """
        self._start_ms = now_ms
        self._start_s = time.monotonic() if asked_s is None else asked_s

    def now_ms(self) -> int:
        """Return the database's time in Unix ms, as far as the last heartbeat tells."""
        now_ms = self._start_ms + int((time.monotonic() - self._start_s) * 1000)
        if 0 < self._last_ms - now_ms < STEP_MS:
            return self._last_ms
        self._last_ms = now_ms
        return now_ms
