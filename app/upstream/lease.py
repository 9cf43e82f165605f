"""Places of requests at a relay, and what became of each."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.core.relays import Relay
from app.upstream.breaker import SLOW, Breaker, BreakerRules, Signal
from app.upstream.client import HttpUpstream

USUAL_S: Final = 100.0
"""Time that a model takes of which no answer was seen yet."""
SLOW_TIMES: Final = 3
"""A request that lasts so many times longer than usual counts as a failure."""
SLOW_S_MIN: Final = 30.0
log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class RelayConnection:
    """Connection to a relay with one address and one key, with its breaker and the requests that it has."""

    relay: Relay
    client: HttpUpstream
    rules: BreakerRules
    breaker: Breaker = field(init=False)
    in_flight: int = 0
    usual_s: dict[str, float] = field(default_factory=dict)
    """Time that answers with images took lately, by model."""
    good_at_s: float | None = None
    """Monotonic time at which the relay last worked: it sent images, or refused a request for what that asked."""

    def __post_init__(self) -> None:
        self.breaker = Breaker(self._log_change, self.rules)

    @property
    def has_place(self) -> bool:
        return self.relay.concurrent is None or self.in_flight < self.relay.concurrent

    def slow_s(self, model: str) -> float:
        """Return the time after which a request for the model is slow."""
        return max(self.usual_s.get(model, USUAL_S) * SLOW_TIMES, SLOW_S_MIN)

    def _log_change(self) -> None:
        state, code = self.breaker.state, self.breaker.code
        write = log.error if state == "open" else log.info
        write("the breaker of a relay changed", relay=self.relay.name, state=state, code=code)


@dataclass(slots=True, eq=False)
class Lease:
    """Place of one request at a relay; `end` gives it back. `on_slow` is called when the request is slow."""

    connection: RelayConnection
    model: str
    give_back: Callable[[RelayConnection], None]
    on_slow: Callable[[], None]
    relay: Relay = field(init=False)
    client: HttpUpstream = field(init=False)
    _is_probe: bool = field(init=False)
    _started_s: float = field(default_factory=time.monotonic, init=False)
    _timer: asyncio.TimerHandle = field(init=False)
    _is_slow: bool = field(default=False, init=False)
    _has_ended: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.relay, self.client = self.connection.relay, self.connection.client
        self._is_probe = self.connection.breaker.state != "closed"
        self.connection.in_flight += 1
        self.connection.breaker.is_probing |= self._is_probe
        self._timer = asyncio.get_running_loop().call_later(self.connection.slow_s(self.model), self._note_slow)

    def end(self, signal: Signal, code: str | None = None) -> None:
        """Give the place back and tell the breaker what became of the request; `code` is the error code of one without images.
        Idempotent."""
        if self._has_ended:
            return
        self._has_ended = True
        self._timer.cancel()
        if signal == "good":
            self.connection.good_at_s = now_s = time.monotonic()
            if code is None:  # A refused prompt takes no time, and images would seem slow beside it.
                took_s, usual_s = now_s - self._started_s, self.connection.usual_s.get(self.model)
                self.connection.usual_s[self.model] = took_s if usual_s is None else usual_s * 0.8 + took_s * 0.2
        if not (self._is_slow and signal == "costly"):  # The breaker heard of it when it became slow.
            self.connection.breaker.hear(signal, code, is_probe=self._is_probe)
        self.give_back(self.connection)

    def _note_slow(self) -> None:
        self._is_slow = True
        self.connection.breaker.hear("costly", SLOW, is_probe=self._is_probe)
        self.on_slow()
