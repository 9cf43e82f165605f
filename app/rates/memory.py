"""Rates of one process, counted in its own memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from app.rates.limits import WINDOW_US, RateCharge, RateReading, RateVerdict, verdict
from app.rates.window import Window


def monotonic_us() -> int:
    """Microseconds of a clock that only runs forward."""
    return time.monotonic_ns() // 1000


class MemoryRates:
    """Exact within one process, gone when it ends. A limit idle for a minute takes no memory for long."""

    def __init__(self, clock_us: Callable[[], int] = monotonic_us) -> None:
        self._clock_us = clock_us
        self._windows: dict[str, tuple[int, Window]] = {}  # By time of the last spend, oldest first.

    def __len__(self) -> int:
        """How many limits are remembered."""
        return len(self._windows)

    async def spend(self, charges: Sequence[RateCharge]) -> RateVerdict:
        """See Rates.spend. Nothing is awaited, so decisions do not interleave."""
        now_us = self._clock_us()
        windows = [self._window(charge.limit.name, now_us) for charge in charges]
        waits_us = [window.wait_us(charge, now_us) for window, charge in zip(windows, charges, strict=True)]
        if not any(waits_us):
            self._add(charges, windows, now_us)
        readings = [
            RateReading(window.used, wait_us, window.reset_us(now_us))
            for window, wait_us in zip(windows, waits_us, strict=True)
        ]
        return verdict(charges, readings)

    def note(self, charges: Sequence[RateCharge]) -> None:
        """Count what was granted elsewhere, so that this store can take over without giving the minute out twice."""
        now_us = self._clock_us()
        self._add(charges, [self._window(charge.limit.name, now_us) for charge in charges], now_us)

    async def check(self) -> str:
        """See Rates.check."""
        return "memory"

    async def close(self) -> None:
        """See Rates.close: there is nothing to close."""

    def _window(self, name: str, now_us: int) -> Window:
        """The window as it stands now; one that is new is not kept before something is spent."""
        known = self._windows.get(name)
        if known is None:
            return Window()
        known[1].expire(now_us)
        return known[1]

    def _add(self, charges: Sequence[RateCharge], windows: Sequence[Window], now_us: int) -> None:
        for charge, window in zip(charges, windows, strict=True):
            if charge.cost:
                window.add(charge.cost, now_us)
                self._windows.pop(charge.limit.name, None)
                self._windows[charge.limit.name] = (now_us, window)
                self._drop_idle(now_us)

    def _drop_idle(self, now_us: int) -> None:
        """Two at most for each one kept: the store shrinks without ever stopping for a sweep."""
        for name, (spent_at_us, _) in list(itertools.islice(self._windows.items(), 2)):
            if now_us - spent_at_us < WINDOW_US:
                return
            del self._windows[name]
