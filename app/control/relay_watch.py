"""State of each relay as free questions tell it, asked for rarely and shared by everybody who looks."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.chores import BackgroundTasks
from app.core.relays import Relay
from app.core.request import DEFAULT_RELAY
from app.errors import ConfigurationError, GatewayError, UpstreamMisconfigured
from app.store.clock import Clock
from app.upstream.billing import KeyAccount, read_account
from app.upstream.client import RelayReader
from app.upstream.pool import RelayPool
from app.upstream.probe import models

FRESH_MS = 60_000
"""Age up to which a state is shown without asking the relay again."""
WAIT_S = 0.2
"""Longest time that a page waits for the relay; the next page shows what it answered."""
ACCOUNT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class RelayState:
    """Answers of the relay at an instant (Unix ms). `error` is set where it refused or did not answer; then `offered` and `account`
    are None. `account` is also None where the relay tells none."""

    at_ms: int
    took_ms: int
    offered: frozenset[str] | None
    account: KeyAccount | None
    error: GatewayError | None


@dataclass(slots=True)
class RelayWatch:
    """Keeps the last state of the relay."""

    upstream: RelayReader
    clock: Clock
    background: BackgroundTasks
    last: RelayState | None = field(default=None, init=False)
    _asking: asyncio.Task[RelayState] | None = field(default=None, init=False)

    async def look(self) -> RelayState | None:
        """Return the last state; None before the first answer. Where it is old, ask the relay and wait for WAIT_S at most."""
        if self.last is None or self.clock.now_ms() - self.last.at_ms > FRESH_MS:
            await asyncio.wait([self._ask_once()], timeout=WAIT_S)
        return self.last

    async def ask(self) -> RelayState:
        """Ask the relay now, which takes up to half a minute. Never raises for what the relay does."""
        return await asyncio.shield(self._ask_once())

    def _ask_once(self) -> asyncio.Task[RelayState]:
        """Start to ask, unless somebody is asking already."""
        if self._asking is None or self._asking.done():
            self._asking = self.background.start(self._ask())
        return self._asking

    async def _ask(self) -> RelayState:
        at_ms, started_s = self.clock.now_ms(), time.monotonic()
        try:
            offered = frozenset(await models(self.upstream))
        except GatewayError as exc:
            self.last = RelayState(at_ms, _ms_since(started_s), None, None, exc)
            return self.last
        took_ms = _ms_since(started_s)
        account = await read_account(self.upstream, ACCOUNT_TIMEOUT_S)
        self.last = RelayState(at_ms, took_ms, offered, account if account.used_points is not None else None, None)
        return self.last


@dataclass(slots=True)
class RelayWatches:
    """Watches of all relays."""

    pool: RelayPool
    clock: Clock
    background: BackgroundTasks
    _watches: dict[str, RelayWatch] = field(default_factory=dict, init=False)

    async def look(self, relay: Relay, *, now: bool = False) -> RelayState | None:
        """Return the last state of a relay, as `RelayWatch.look` does; with `now` ask it, as `RelayWatch.ask` does. A relay that no
        connection can be made to is misconfigured."""
        try:
            watch = self._watch(relay)
        except ConfigurationError as exc:
            return RelayState(self.clock.now_ms(), 0, None, None, UpstreamMisconfigured(str(exc)))
        return await (watch.ask() if now else watch.look())

    async def offer(self, relays: Iterable[Relay], models: Iterable[str]) -> set[str]:
        """Return those of `models` that a relay may offer which gets requests for them."""
        used = [relay for relay in relays if relay.is_in_use]
        states = await asyncio.gather(*(self.look(relay) for relay in used))
        return {
            model
            for model in models
            for relay, state in zip(used, states, strict=True)
            if relay.serves(model) and (state is None or state.offered is None or model in state.offered)
        }

    def _watch(self, relay: Relay) -> RelayWatch:
        """Return the watch of a relay, a new one after its address or key was changed. Raises ConfigurationError."""
        client = self.pool.default if relay.name == DEFAULT_RELAY else self.pool.client(relay)
        watch = self._watches.get(relay.name)
        if watch is None or watch.upstream is not client:
            watch = self._watches[relay.name] = RelayWatch(client, self.clock, self.background)
        return watch


def _ms_since(started_s: float) -> int:
    return round((time.monotonic() - started_s) * 1000)
