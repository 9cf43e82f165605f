"""Relays that requests are sent to: which one a request gets, how many it has at once, and whether it is well."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.core.relays import Relay
from app.core.request import DEFAULT_RELAY
from app.errors import (
    ConfigurationError,
    GatewayError,
    Overloaded,
    RelayPaused,
    UpstreamMisconfigured,
)
from app.upstream.breaker import BreakerRules, BreakerState
from app.upstream.client import HttpUpstream
from app.upstream.lease import Lease, RelayConnection
from app.upstream.probe import models

RETRY_AFTER_S: Final = (2, 8)
"""Bounds of the random `Retry-After` of a full queue, so that its clients do not come back at once."""
log = structlog.get_logger()


@dataclass(slots=True)
class PoolRules:
    """Bounds of the queue before the relays: its length, and the longest wait in seconds; and the rules of the breakers."""

    queue_max: int
    queue_wait_s: float
    breakers: BreakerRules = field(default_factory=BreakerRules)


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """State of a relay in this process. `code` is the error code that opened its breaker; `retry_in_s` the time until it is asked
    again."""

    name: str
    breaker: BreakerState
    code: str | None
    retry_in_s: int
    in_flight: int
    good_s_ago: float | None
    """Time since the relay last worked: it sent images, or refused a request for what that asked. None before the first time."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """Request that waits for a place at one of `relays`, by their names."""

    model: str
    relays: Sequence[str]
    lease: "asyncio.Future[Lease]"

    @property
    def has_lease(self) -> bool:
        return self.lease.done() and not self.lease.cancelled() and self.lease.exception() is None


class RelayPool:
    """Connections to all relays. `default` is that of the settings; `connect` makes the others and raises ConfigurationError."""

    def __init__(self, default: HttpUpstream, connect: Callable[[Relay], HttpUpstream], rules: PoolRules):
        self.default, self._connect, self.rules = default, connect, rules
        self._connections: dict[str, RelayConnection] = {}
        self._retired: set[RelayConnection] = set()
        self._waiting: deque[_Waiting] = deque()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Number of requests that wait for a place at a relay."""
        return len(self._waiting)

    def statuses(self) -> list[RelayStatus]:
        """List the state of each relay that this process has used."""
        return [
            RelayStatus(
                name,
                connection.breaker.state,
                connection.breaker.code,
                round(connection.breaker.wait_s),
                connection.in_flight,
                None if connection.good_at_s is None else time.monotonic() - connection.good_at_s,
            )
            for name, connection in self._connections.items()
        ]

    def client(self, relay: Relay) -> HttpUpstream:
        """Return the connection to a relay, also to one that is not in use. Raises ConfigurationError."""
        return self._connection(relay).client

    async def lease(self, model: str, relays: Sequence[Relay]) -> Lease:
        """Take a place for a request for `model` at one of `relays`, by weight; wait for one if need be.

        Raises Overloaded when the queue is full or the wait too long, RelayPaused while the breakers of all are open because
        requests cost money there for nothing, UpstreamMisconfigured when no connection can be made.
        """
        connections = self._usable(relays)
        lease = self._take(model, connections)
        if lease is not None:
            return lease
        if len(self._waiting) >= self.rules.queue_max:
            raise Overloaded(
                f"The relays have as many requests as they may, and {self.rules.queue_max} more wait; nothing was bought. "
                "Try again shortly.",
                retry_after_s=random.randint(*RETRY_AFTER_S),
            )
        return await self._wait(
            _Waiting(model, [each.relay.name for each in connections], asyncio.get_running_loop().create_future())
        )

    def free_elsewhere(self, model: str, relays: Sequence[Relay], tried: Collection[str]) -> Lease | None:
        """Take a place at once at a relay that has not been tried; None when none of them has one or is well."""
        untried = [relay for relay in relays if relay.name not in tried]
        try:
            return self._take(model, self._usable(untried)) if untried else None
        except GatewayError:
            return None

    def give_back(self, connection: RelayConnection) -> None:
        """Free a place at a relay, and close the connection of one that was replaced when its last request has ended."""
        connection.in_flight -= 1
        if connection in self._retired and connection.in_flight == 0:
            self._retired.discard(connection)
            self._close_client(connection)
        self.wake()

    def wake(self) -> None:
        """Give places that became free to those that wait, the first one first."""
        for waiting in [each for each in self._waiting if not each.lease.done()]:
            try:
                lease = self._take(waiting.model, [self._connections[name] for name in waiting.relays])
            except RelayPaused as exc:
                waiting.lease.set_exception(exc)
                continue
            if lease is not None:
                waiting.lease.set_result(lease)

    async def probe(self) -> None:
        """Ask the relays whose breakers are due whether they answer, which is free. Never raises for what a relay does."""
        due = [each for each in self._connections.values() if each.breaker.is_due]
        await asyncio.gather(*(self._probe(each) for each in due))

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        for connection in (*self._connections.values(), *self._retired):
            self._close_client(connection)
        self._connections.clear()
        self._retired.clear()
        await asyncio.gather(*self._closing)
        await self.default.close()

    async def _probe(self, connection: RelayConnection) -> None:
        try:
            await models(connection.client)
            connection.breaker.hear_probe(None)
        except GatewayError as exc:
            connection.breaker.hear_probe(exc.code)
        self.wake()

    async def _wait(self, waiting: _Waiting) -> Lease:
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self.rules.queue_wait_s):
                return await waiting.lease
        except BaseException as exc:  # Also a cancellation.
            if waiting.has_lease:  # It came in the same moment.
                waiting.lease.result().end("neutral")
            if not isinstance(exc, TimeoutError):
                raise
            raise Overloaded(
                f"No relay had a place for this request within {self.rules.queue_wait_s:g} s; nothing was bought. Try again "
                "shortly.",
                retry_after_s=random.randint(*RETRY_AFTER_S),
            ) from None
        finally:
            self._waiting.remove(waiting)

    def _take(self, model: str, connections: Sequence[RelayConnection]) -> Lease | None:
        """Take a place at one of these; None when all that are well are full. Raises RelayPaused when none may get a request."""
        well = [each for each in connections if each.breaker.state == "closed"]
        probing = [each for each in connections if each.breaker.state == "half_open" and not each.breaker.is_probing]
        # A relay that fails without a charge is tried anyway where there is no other: its refusal says what is wrong.
        free = [each for each in connections if each.breaker.state != "closed" and not each.breaker.is_costly]
        able = well or free
        if not able and not probing:
            raise _paused(connections)
        chosen = _by_weight([each for each in probing if each.has_place] or [each for each in able if each.has_place])
        if chosen is None:
            return None
        return Lease(chosen, model, self.give_back, self.wake)

    def _usable(self, relays: Sequence[Relay]) -> list[RelayConnection]:
        """Return the connections to relays. One that cannot be made is left out, unless it is the only one."""
        found, error = [], ConfigurationError("There is none.")
        for relay in relays:
            try:
                found.append(self._connection(relay))
            except ConfigurationError as exc:
                log.error("a relay cannot be used", relay=relay.name, reason=str(exc))
                error = exc
        if not found:
            raise UpstreamMisconfigured(f"No relay can be used: {error} Nothing was bought.")
        return found

    def _connection(self, relay: Relay) -> RelayConnection:
        """Return the connection to a relay. One whose address or key has changed gets a new one, with a closed breaker."""
        connection = self._connections.get(relay.name)
        if connection is not None:
            if (connection.relay.base_url, connection.relay.sealed_key) == (relay.base_url, relay.sealed_key):
                had_place, connection.relay = connection.has_place, relay
                if connection.has_place and not had_place:
                    self.wake()  # Those that wait come first.
                return connection
            if (connection.relay.key_replaced_at_ms or 0) > (relay.key_replaced_at_ms or 0):
                return connection  # What this request was admitted with is older.
        client = self.default if relay.name == DEFAULT_RELAY else self._connect(relay)
        if connection is not None:  # Only now: those that wait for it must find one, also where no new one can be made.
            self._retire(connection)
        self._connections[relay.name] = connection = RelayConnection(relay, client, self.rules.breakers)
        return connection

    def _retire(self, connection: RelayConnection) -> None:
        del self._connections[connection.relay.name]
        if connection.in_flight:
            self._retired.add(connection)
        else:
            self._close_client(connection)

    def _close_client(self, connection: RelayConnection) -> None:
        if connection.client is not self.default:
            task = asyncio.create_task(connection.client.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


def _by_weight(connections: Sequence[RelayConnection]) -> RelayConnection | None:
    """Choose by weight; those of weight 0 only where there are no others."""
    weighted = [each for each in connections if each.relay.weight > 0] or list(connections)
    if not weighted:
        return None
    return random.choices(weighted, [each.relay.weight or 1 for each in weighted])[0]


def _paused(connections: Sequence[RelayConnection]) -> RelayPaused:
    wait_s = max(1, round(min(each.breaker.wait_s for each in connections)))
    names = ", ".join(each.relay.name for each in connections)
    return RelayPaused(
        f"Requests to the relay ({names}) pause: the last ones brought no image, and may have been charged. Nothing was bought. "
        f"It is tried again in {wait_s} s by itself.",
        retry_after_s=min(wait_s + random.randint(0, 5), 60),
    )
