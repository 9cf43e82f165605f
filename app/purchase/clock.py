"""The database's time, without asking it each time: intervals and beats must not follow a clock that jumps."""

import time


class Clock:
    """Set by every beat, moved on by the monotonic clock in between; before the first beat, the machine's own time."""

    def __init__(self) -> None:
        self.set(time.time_ns() // 1_000_000)

    def set(self, now_ms: int) -> None:
        """`now_ms`: what the database says it is, now."""
        self._start_ms = now_ms
        self._start_s = time.monotonic()

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return self._start_ms + int((time.monotonic() - self._start_s) * 1000)
