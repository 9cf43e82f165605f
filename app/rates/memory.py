"""Rates of one process, counted in memory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

from app.rates.limits import WINDOW_US, RateCharge, RateReading, RateVerdict, verdict
from app.rates.window import Window


def monotonic_us() -> int:
    """Return a monotonic time in microseconds."""
    return time.monotonic_ns() // 1000


class MemoryRates:
    """Rates in memory: exact within one process, lost when it ends. Limits idle for a minute are soon dropped."""

    def __init__(self, clock_us: Callable[[], int] = monotonic_us) -> None:
        self._clock_us = clock_us
        self._windows: dict[str, tuple[int, Window]] = {}  # By time of the last spend, oldest first.

    def __len__(self) -> int:
        return len(self._windows)

    async def spend(self, charges: Sequence[RateCharge]) -> RateVerdict:
        """Take every charge or none, like Rates.spend. Awaits nothing, so decisions do not interleave."""
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

    def count_granted(self, charges: Sequence[RateCharge]) -> None:
        """Count charges that Redis granted, so that this counter can take over without granting the same minute twice."""
        now_us = self._clock_us()
        self._add(charges, [self._window(charge.limit.name, now_us) for charge in charges], now_us)

    async def check(self) -> str:
        return "memory"

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    def _window(self, name: str, now_us: int) -> Window:
        """Return the current window of a limit. A new one is not stored until something is spent."""
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
        """Drop up to two idle windows for each one stored, so that memory shrinks without a pause for a full sweep."""
        for name, (spent_at_us, _) in list(itertools.islice(self._windows.items(), 2)):
            if now_us - spent_at_us < WINDOW_US:
                return
            del self._windows[name]
