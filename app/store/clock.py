"""The database's time, without asking it each time: intervals and beats must not follow a clock that jumps."""

import time


class Clock:
    """Set by every beat, moved on by the monotonic clock in between; before the first beat, the machine's own time."""

    def __init__(self) -> None:
        self.set(time.time_ns() // 1_000_000)

    def set(self, now_ms: int, asked_s: float | None = None) -> None:
        """`now_ms`: what the database said when it was asked, at `asked_s` of the monotonic clock; None: just now.

        It counts from the question: a clock behind the database's would not see a price that has begun.
        """
        self._start_ms = now_ms
        self._start_s = time.monotonic() if asked_s is None else asked_s

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._start_ms + int((time.monotonic() - self._start_s) * 1000)
