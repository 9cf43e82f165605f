"""Circuit breaker, so that not every request waits for a broken backend."""

from __future__ import annotations

from collections.abc import Callable

FIRST_PAUSE_US = 1_000_000
LONGEST_PAUSE_US = 5_000_000


class CircuitBreaker:
    """Circuit breaker. Closed while the backend works; after a failure it allows one attempt per pause of 1 s, growing to 5 s.

    An attempt is a number. `begin` returns one, or None while the backend must not be called. The caller reports the
    result with `succeeded` or `failed`. Reports of attempts that began before the last change are ignored. An attempt
    that never reports (cancelled) delays the next attempt by one pause and does no other harm.
    """

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._attempt = 0
        self._open = False
        self._failed_at_us = 0
        self._pause_us = 0

    @property
    def is_open(self) -> bool:
        """True while calls are held back."""
        return self._open

    def begin(self) -> int | None:
        """Begin an attempt; None when the backend must not be called now."""
        if self._open:
            if self._clock_us() - self._failed_at_us < self._pause_us:
                return None
            self._failed_at_us = self._clock_us()  # Hold back all others until this attempt reports, or for one pause.
            self._attempt += 1
        return self._attempt

    def is_stale(self, attempt: int) -> bool:
        """Return True when the circuit has changed since this attempt began; the caller should then give up."""
        return attempt != self._attempt

    def succeeded(self, attempt: int) -> bool:
        """Report a success. Returns True when it closed the circuit."""
        closes = self._open and not self.is_stale(attempt)
        if closes:
            self._open = False
            self._attempt += 1
        return closes

    def failed(self, attempt: int) -> bool:
        """Report a failure. Returns True when it opened the circuit. The pause doubles after a failure soon after the last one."""
        if self.is_stale(attempt):
            return False
        opens = not self._open
        now_us = self._clock_us()
        is_first = now_us - self._failed_at_us > 2 * LONGEST_PAUSE_US or not self._pause_us
        self._pause_us = FIRST_PAUSE_US if is_first else min(2 * self._pause_us, LONGEST_PAUSE_US)
        self._failed_at_us = now_us
        self._open = True
        self._attempt += 1
        return opens
