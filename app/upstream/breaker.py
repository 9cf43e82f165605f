"""Breaker of a relay: tells when it would fail requests, and finds out when it is well again. What an open one means is decided in
`pool`: no requests while another relay is well, and none at all where `is_costly`.

It opens at once on a refused key or an empty wallet, after a few requests in a row that did not reach the relay, and after some
more that may have been charged without an image. Then it waits, longer each time; a free question follows, and after a good
answer to it one request (half open), whose outcome closes it or opens it again.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

BreakerState = Literal["closed", "open", "half_open"]
Signal = Literal["good", "neutral", "refused", "unreached", "costly"]
"""Meaning of an exchange for its relay. `good`: the relay worked, also where it refused the request itself; `refused`: no request
works until somebody acts; `unreached`: no byte arrived; `costly`: it may have been charged and brought no image, or it takes far
longer than usual."""
FAILURES_MAX: Final = {"refused": 1, "unreached": 3, "costly": 10}
"""Failures in a row that open the breaker."""
SLOW: Final = "upstream_slow"
"""Code of a failure that is only a request of which nothing was heard for far longer than usual."""
PAUSE_S: Final = 15.0
PAUSE_S_MAX: Final = 240.0


@dataclass(slots=True)
class BreakerRules:
    """Rules of all breakers of a process: after so many costly failures in a row they open, for `pause_s` first, and twice as long
    after each probe that fails, up to PAUSE_S_MAX."""

    pause_s: float = PAUSE_S
    costly_max: int = FAILURES_MAX["costly"]


@dataclass(slots=True)
class Breaker:
    """Breaker of one relay with one key, in this process. `on_change` is called after each change of `state`."""

    on_change: Callable[[], None]
    rules: BreakerRules
    state: BreakerState = field(default="closed", init=False)
    code: str | None = field(default=None, init=False)
    """Error code of the failure that opened it; None while it is closed."""
    is_costly: bool = field(default=False, init=False)
    """Whether it opened because requests may have been charged without an image."""
    is_probing: bool = field(default=False, init=False)
    """Whether the one request of the half-open state is under way."""
    until_s: float = field(default=0.0, init=False)
    """Monotonic time from which the relay may be asked again."""
    _pause_s: float = field(default=0.0, init=False)
    _failures: dict[Signal, int] = field(default_factory=dict, init=False)

    def hear(self, signal: Signal, code: str | None, *, is_probe: bool) -> None:
        """Take the outcome of a request. `is_probe`: it was sent while the breaker was not closed. While it is not, those that were
        sent earlier say nothing new, except that a relay that was only slow does answer. Call it for every probe, `neutral` too: it
        lets the next one go."""
        if is_probe:
            self.is_probing = False
        elif self.state != "closed" and not (signal == "good" and self.code == SLOW):
            return
        if signal == "good":
            self._close()
        elif signal != "neutral":
            self._failures[signal] = self._failures.get(signal, 0) + 1
            most = self.rules.costly_max if signal == "costly" else FAILURES_MAX[signal]
            is_enough = self._failures[signal] >= most
            if self.state != "closed" or is_enough:
                self._open(code, signal == "costly" and is_enough)

    def hear_probe(self, code: str | None) -> None:
        """Take the answer to the free question that an open breaker asks: None when it was good, else the error code."""
        if self.state != "open":
            return
        if code is None:
            self.state = "half_open"
            self.on_change()
        else:
            self._open(self.code, self.is_costly)

    @property
    def is_due(self) -> bool:
        """True when an open breaker is to ask the free question."""
        return self.state == "open" and time.monotonic() >= self.until_s

    @property
    def wait_s(self) -> float:
        """Seconds until an open breaker asks; 0 for any other."""
        return max(self.until_s - time.monotonic(), 0.0) if self.state == "open" else 0.0

    def _open(self, code: str | None, is_costly: bool) -> None:
        was, self.state, self.code, self.is_costly = self.state, "open", code, is_costly
        if was == "open" and not self.is_due:
            return  # One of several that failed together, in the same pause.
        self._pause_s = self.rules.pause_s if was == "closed" else min(self._pause_s * 2, PAUSE_S_MAX)
        self.until_s = time.monotonic() + self._pause_s * random.uniform(0.8, 1.2)
        if was != "open":
            self.on_change()

    def _close(self) -> None:
        self._failures.clear()
        if self.state != "closed":
            self.state, self.code, self.is_costly = "closed", None, False
            self.on_change()
