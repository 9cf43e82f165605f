"""The money of a request: reserve, dispatch, settle, release. Plain SQL, because every image passes here three times.

Each call is one durable transition of the row in `requests` and of the counters it holds on, or a refusal that changed
nothing. Every transition is guarded by the state it starts from, so doing it twice is harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from app.core.limits import Limit, Needs, Unit

State = Literal["reserved", "dispatched", "settled", "released", "unknown"]
UNRESOLVED: tuple[State, ...] = ("reserved", "dispatched", "unknown")


@dataclass(frozen=True, slots=True)
class CounterKey:
    """The counter a request must find room in: one limit, in the interval that begins at `starts_at_ms`."""

    limit: Limit
    starts_at_ms: int


@dataclass(frozen=True, slots=True)
class Order:
    """Everything a reservation writes. `revision` is that of the control data it was decided on."""

    request_id: str
    owner: str
    api_key_id: str
    user_id: str
    project_id: str
    operation: str
    model: str
    n: int
    size: str | None
    quality: str | None
    stream: bool
    prompt_chars: int
    prompt_hmac: bytes | None
    quote_micros: int
    reserved_at_ms: int
    revision: int
    counter_keys: tuple[CounterKey, ...]
    idempotency_key: str | None = None
    fingerprint: bytes | None = None
    tries: int = 1
    response_format: str | None = None
    asked_model: str | None = None
    prompt: str | None = None

    @property
    def needs(self) -> Needs:
        return Needs(micros=self.quote_micros, images=self.n)

    def row(self) -> tuple[Any, ...]:
        """The values of ORDER_COLUMNS."""
        return (
            self.request_id,
            self.owner,
            self.api_key_id,
            self.user_id,
            self.project_id,
            self.operation,
            self.model,
            self.n,
            self.size,
            self.quality,
            int(self.stream),
            self.prompt_chars,
            self.prompt_hmac,
            self.quote_micros,
            self.reserved_at_ms,
            self.idempotency_key,
            self.fingerprint,
            self.tries,
            self.reserved_at_ms,
            self.response_format,
            self.asked_model,
            self.prompt,
        )


ORDER_COLUMNS = (
    "id, owner, api_key_id, user_id, project_id, operation, model, n, size, quality, stream, prompt_chars, prompt_hmac, "
    "quote_micros, reserved_at_ms, idempotency_key, fingerprint, tries, tried_at_ms, "
    "response_format, asked_model, prompt"
)


@dataclass(frozen=True, slots=True)
class Reserved:
    """Granted: every counter had room, and holds now."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The first counter without room, in the order of the slots; `left` may be negative where a limit was lowered."""

    key: CounterKey
    needed: int
    left: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The control data has changed since the order was made: load it again, then ask again."""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The API key has used this idempotency key already: nothing was reserved."""


@dataclass(frozen=True, slots=True)
class Room:
    """What is left of a limit after a settlement."""

    unit: Unit
    left: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How an exchange ended, whatever its outcome. `error_code` is None where the client got images, `http_status` where
    nobody is there any more who could have been answered."""

    at_ms: int
    http_status: int | None
    error_code: str | None = None
    error: dict[str, Any] | None = None
    """What the client was told instead of images, to tell it again: see `GatewayError.told`."""
    upstream_request_id: str | None = None
    upstream_ms: int | None = None
    is_retryable: bool = False
    """Whether a client is told to try again: only then does anybody look for a request that was released."""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """The relay's answer, kept: `body` where it is small, None where it lies in a file named by the request."""

    body: bytes | None
    body_bytes: int
    created_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is booked. `hour_at_ms` and `day` are those of the reservation; size and quality None keep the request's."""

    ending: Ending
    cost_micros: int
    images: int
    hour_at_ms: int
    day: str
    size: str | None = None
    quality: str | None = None
    flag: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    result: StoredResult | None = None


class Ledger(Protocol):
    """Raises StoreUnavailable or StorageFull when the database does not answer; what then happened to the row is not known."""

    async def reserve(self, order: Order) -> Reserved | Refused | Stale | Duplicate:
        """Write the row and hold on every counter, or do nothing. Counters that do not exist yet are opened."""
        ...

    async def dispatch(self, request_id: str, owner: str, at_ms: int, relay: str) -> bool:
        """Mark it as about to be sent to `relay`. False: it is not `owner`'s open row any more, and nothing may be sent.

        To be repeated after a failure, as long as nothing has been sent: a mark that went through unnoticed is set again.
        """
        ...

    async def settle(self, request_id: str, settlement: Settlement) -> Sequence[Room] | None:
        """Book from dispatched or unknown, with the roll-up and the result; None when it was neither."""
        ...

    async def release(
        self, request_id: str, ending: Ending, states: Sequence[State] = UNRESOLVED, owner: str | None = None
    ) -> bool:
        """Give every hold and the idempotency key back, from one of `states` (and of `owner`, where named). False when it was
        none of them. Of those without such a key, one that is `followed` can still be found by its retry."""
        ...

    async def give_up(self, request_id: str, ending: Ending) -> bool:
        """From dispatched to unknown: in-flight limits are given back, money and images stay held."""
        ...

    async def close(self) -> None: ...
