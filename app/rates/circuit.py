"""Keeps a broken backend from being asked by every request."""

from __future__ import annotations

from collections.abc import Callable

FIRST_PAUSE_US = 1_000_000
LONGEST_PAUSE_US = 5_000_000


class CircuitBreaker:
    """Closed while all is well; after a failure one attempt per pause may pass, of 1 s growing to 5 s.

    An attempt is a number. `begin` hands one out, or None where the backend is to be left alone; whoever got one
    reports with `succeeded` or `failed`. Reports of attempts begun before the last change say nothing new and are
    ignored. An attempt that never reports (cancelled) costs a pause, not the circuit.
    """

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._attempt = 0
        self._open = False
        self._failed_at_us = 0
        self._pause_us = 0

    @property
    def is_open(self) -> bool:
        """Tell whether the backend is avoided now."""
        return self._open

    def begin(self) -> int | None:
        """Ask whether to try; None means no."""
        if self._open:
            if self._clock_us() - self._failed_at_us < self._pause_us:
                return None
            self._failed_at_us = self._clock_us()  # Everybody else keeps away until this one has reported.
            self._attempt += 1
        return self._attempt

    def is_stale(self, attempt: int) -> bool:
        """Tell whether the circuit has changed since this attempt began, so that it had better not go on."""
        return attempt != self._attempt

    def succeeded(self, attempt: int) -> bool:
        """True when this closed the circuit."""
        closes = self._open and not self.is_stale(attempt)
        if closes:
            self._open = False
            self._attempt += 1
        return closes

    def failed(self, attempt: int) -> bool:
        """True when this opened the circuit. A failure soon after the last one pauses twice as long."""
        if self.is_stale(attempt):
            return False
        opens = not self._open
        now_us = self._clock_us()
        calm = now_us - self._failed_at_us > 2 * LONGEST_PAUSE_US or not self._pause_us
        self._pause_us = FIRST_PAUSE_US if calm else min(2 * self._pause_us, LONGEST_PAUSE_US)
        self._failed_at_us = now_us
        self._open = True
        self._attempt += 1
        return opens
