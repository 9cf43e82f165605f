"""The money of a request: reserve, dispatch, settle, release. Plain SQL, because every image passes here three times.

Each call is one durable transition of the row in `requests` and of the counters it holds on, or a refusal that changed
nothing. Every transition is guarded by the state it starts from, so repeating it is harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.core.limits import Unit
from app.store.ledger.columns import UNRESOLVED, CounterKey, Ending, Reservation, Settlement, State


@dataclass(frozen=True, slots=True)
class Reserved:
    """Every counter had room, and holds now."""


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """The first counter without room, in the order of the reservation's keys, with what was needed and what is left, in the
    limit's unit. `left` is negative where the limit was lowered below what is spent."""

    key: CounterKey
    needed: int
    left: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The control data has changed since the reservation was decided: load it again, then reserve again."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The API key has used this idempotency key already: nothing was reserved."""


ReserveOutcome = Reserved | LimitExceeded | Stale | Duplicate


@dataclass(frozen=True, slots=True)
class Room:
    """Amount left of a limit after a settlement, in its unit."""

    unit: Unit
    left: int


class Ledger(Protocol):
    """Money of requests in one database.

    Raises StoreUnavailable or StorageFull when the database does not answer: whether the transition was made is then unknown.
    """

    async def reserve(self, reservation: Reservation) -> ReserveOutcome:
        """Write the row and hold on every counter, or do nothing. Counters that do not exist yet are opened."""
        ...

    async def dispatch(self, request_id: str, owner: str, at_ms: int, relay: str) -> bool:
        """Mark a request as about to be sent to `relay`. False: it is not an open row of `owner`, and nothing may be sent.

        Repeat it after a failure, as long as nothing has been sent: a mark that went through unnoticed is set again.
        """
        ...

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        """Book a dispatched or unknown request, with its roll-up and result; None when it was in neither state."""
        ...

    async def release(
        self, request_id: str, ending: Ending, states: Sequence[State] = UNRESOLVED, owner: str | None = None
    ) -> bool:
        """Give every hold and the idempotency key back, from one of `states` (and of `owner`, where named). False when it was
        in none of them. A released request without an idempotency key whose ending is retryable keeps its fingerprint: its
        retry finds it once."""
        ...

    async def give_up(self, request_id: str, ending: Ending) -> bool:
        """Turn dispatched into unknown: in-flight limits are given back, money and images stay held."""
        ...

    async def close(self) -> None: ...
