"""Conditions of the relays in use, as this process sees them: for `/readyz`, the metrics and the alerts."""

from contextlib import suppress
from dataclasses import dataclass, field

from app.core.relays import Relay
from app.errors import ConfigurationError, StoreUnavailable, UpstreamMisconfigured
from app.store.control_data import ControlData
from app.upstream.breaker import BreakerState
from app.upstream.pool import RelayPool


@dataclass(frozen=True, slots=True)
class RelayCondition:
    """Breaker of a relay in this process. `code` is the error code of what opened it; `retry_in_s` the seconds until an open one
    asks the relay a free question, null for others. A half-open one waits for a request that proves the relay well."""

    name: str
    state: BreakerState
    code: str | None
    retry_in_s: int | None
    in_flight: int
    good_s_ago: float | None
    """Seconds since the relay last worked for this process: it sent images, or refused a request for what that asked. Null where it
    never has."""

    @property
    def problem(self) -> str | None:
        """Description of what is wrong; None for a closed breaker."""
        if self.state == "closed":
            return None
        until = f"asked again in {self.retry_in_s} s" if self.state == "open" else "the next request will tell"
        return f"{self.name}: {self.code}, {until}"


@dataclass(slots=True)
class RelayConditions:
    """Reader of the conditions of every relay in use."""

    pool: RelayPool
    control_data: ControlData
    _in_use: dict[str, Relay] | None = field(default=None, init=False)
    _unusable: frozenset[str] = field(default=frozenset(), init=False)

    @property
    def in_use(self) -> list[Relay]:
        """Relays in use at the last reading."""
        return list((self._in_use or {}).values())

    async def read(self) -> list[RelayCondition]:
        """List the conditions of the relays that the database has in use; of those last seen while it does not answer."""
        with suppress(StoreUnavailable):
            relays = [relay for relay in (await self.control_data.catalog()).relays.values() if relay.is_in_use]
            unusable = set()
            for relay in relays:
                try:
                    self.pool.client(relay)  # One whose key was replaced begins anew.
                except ConfigurationError:
                    unusable.add(relay.name)
            self._in_use, self._unusable = {relay.name: relay for relay in relays}, frozenset(unusable)
        return self.last()

    def last(self) -> list[RelayCondition]:
        """List the conditions of the relays that were in use at the last reading. Reads memory only."""
        found = [
            RelayCondition(
                status.name,
                status.breaker,
                status.code,
                status.retry_in_s if status.breaker == "open" else None,
                status.in_flight,
                None if status.good_s_ago is None else round(status.good_s_ago, 1),
            )
            for status in self.pool.statuses()
            if (self._in_use is None or status.name in self._in_use) and status.name not in self._unusable
        ]
        code = UpstreamMisconfigured.code
        return found + [RelayCondition(name, "open", code, None, 0, None) for name in sorted(self._unusable)]
