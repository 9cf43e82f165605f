"""Protocol of the ledger: reserve, dispatch, settle, release. Plain SQL, because every image needs three of these calls.

Each call is one durable transition of the row in `requests` and of its counters, or a refusal that changed nothing. The UPDATE
is guarded by the state it starts from, so repeating a call is harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.core.limits import Unit
from app.store.ledger.columns import UNRESOLVED, CounterKey, Ending, Reservation, Settlement, State


@dataclass(frozen=True, slots=True)
class Reserved:
    """Outcome: every counter had room and holds the request's amount now. `duplicate_of` is a kept picture that its user bought by
    an equal request before."""

    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class LimitExceeded:
    """Outcome: a counter has no room. It is the first in the order of the reservation's keys; amounts are in the limit's unit.
    `left` is negative where the limit was lowered below what is spent."""

    key: CounterKey
    needed: int
    left: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Outcome: the control data has changed since the reservation was decided. Load it again, then reserve again."""


@dataclass(frozen=True, slots=True)
class IdempotencyKeyTaken:
    """Outcome: the API key has used this idempotency key already, so nothing was reserved."""


@dataclass(frozen=True, slots=True)
class RefusedDispatch:
    """Dispatch that a relay refused free of charge, for a reason of its own: the error code it led to."""

    relay: str
    at_ms: int
    code: str


ReserveOutcome = Reserved | LimitExceeded | Stale | IdempotencyKeyTaken


@dataclass(frozen=True, slots=True)
class Room:
    """Amount left of a limit after a settlement, in its unit."""

    unit: Unit
    left: int


class Ledger(Protocol):
    """Money of requests in one database.

    Raises StoreUnavailable or StorageFull; the transition may then have been made or not.
    """

    async def reserve(self, reservation: Reservation) -> ReserveOutcome:
        """Write the row and hold on every counter, or do nothing. Counters that do not exist yet are opened."""
        ...

    async def dispatch(
        self, request_id: str, owner: str, at_ms: int, relay: str, refused: RefusedDispatch | None = None
    ) -> bool:
        """Mark a request as about to be sent to `relay`. False: it is not an open row of `owner`, and nothing may be sent.

        It may be repeated after a failure, as long as nothing has been sent, and after a free refusal by another relay: `refused`
        is the dispatch that this one follows, and is recorded with it.
        """
        ...

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        """Book a dispatched or unknown request, with its roll-up and result; None when it was in neither state."""
        ...

    async def release(
        self, request_id: str, ending: Ending, states: Sequence[State] = UNRESOLVED, owner: str | None = None
    ) -> bool:
        """Release every hold and the idempotency key of a request in one of `states` (and of `owner`, where named); else
        return False. A released request without an idempotency key whose ending is retryable keeps its fingerprint: its
        retry finds it once."""
        ...

    async def give_up(self, request_id: str, ending: Ending) -> bool:
        """Turn dispatched into unknown: in-flight limits are given back, money and images stay held."""
        ...

    async def close(self) -> None: ...
