"""Bookings: settlements and endings for the book, the retry of failed bookings, and the listeners notified of each end."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any
from zoneinfo import ZoneInfo

import structlog

from app.core.catalog import AnswerFacts, Model
from app.core.endings import RequestEnded, RequestRefused
from app.core.intervals import hour_start_ms, local_day
from app.core.money import decimal_text
from app.core.pricing import explicit
from app.core.relays import Relay
from app.core.request import ImageRequest, ResponseFormat
from app.errors import GatewayError, StorageFull, StoreUnavailable, UpstreamBadPayload
from app.spool import Segments, Spool
from app.store.ledger.columns import Ending, Settlement, StoredResult
from app.store.ledger.types import Room
from app.upstream.images import Images
from app.upstream.refusal import RelayRefusal

FIRST_PAUSE_S = 0.2
PAUSE_S_MAX = 10.0
FAILURES_MAX = 5
"""Failures of a booking, other than an unavailable or full database, before its fallback is used."""
NOT_AN_IMAGE = "The upstream charged for this request, but what it sent is not an image."
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CompleteAnswer:
    """Complete and valid 200 of the relay. `segments` is the body for the client; slices of it lie in `spool`."""

    images: Images
    segments: Segments
    spool: Spool

    def booked(
        self, cost_micros: int, rooms: Sequence[Room] | None, response_format: ResponseFormat | None
    ) -> "BookedAnswer":
        return BookedAnswer(self.segments, self.spool, cost_micros, rooms, self.images, response_format)


@dataclass(frozen=True, slots=True)
class BookedAnswer:
    """Booked answer. Slices of `segments` lie in `spool`, which the sender closes. `rooms` is what the limits have left; None
    when the database was unavailable and the booking is retried in the background. `images` are those in `segments`, and
    `response_format` is the form that the client is to get; None when that is the relay's."""

    segments: Segments
    spool: Spool
    cost_micros: int
    rooms: Sequence[Room] | None
    images: Images | None = None
    response_format: ResponseFormat | None = None


@dataclass(frozen=True, slots=True)
class QuotedPrice:
    """Price that was frozen when the request was reserved, at the relay that it went to."""

    model: Model
    relay: Relay
    reserved_at_ms: int

    def cost_micros(self, request: ImageRequest, answer: AnswerFacts) -> int:
        """Return the cost of an answer, in micros."""
        listed = self.model.quote_micros(request, self.reserved_at_ms)
        return self.relay.price_micros(self.model.cost_micros(request, self.reserved_at_ms, listed, answer))


@dataclass(frozen=True, slots=True)
class ExchangeFacts:
    """Time of the end (Unix ms), the relay's request id and the relay's duration (ms) of an exchange; None when not sent."""

    at_ms: int
    upstream_request_id: str | None
    upstream_ms: int | None


def ending_of(
    facts: ExchangeFacts,
    error: GatewayError | None = None,
    *,
    answered: bool = True,
    refusal: RelayRefusal | None = None,
) -> Ending:
    """Make the end of a request for its row. `answered` is False when no client received an answer; `refusal` is what the relay
    said, for an administrator."""
    return Ending(
        at_ms=facts.at_ms,
        http_status=None if not answered else 200 if error is None else error.status,
        error_code=None if error is None else error.code,
        error=None if error is None else error.to_record(),
        upstream_request_id=facts.upstream_request_id,
        upstream_ms=facts.upstream_ms,
        upstream_status=None if refusal is None else refusal.status,
        upstream_code=None if refusal is None else refusal.code or None,
        upstream_message=None if refusal is None else refusal.words or None,
        is_retryable=error is not None and error.retryable,
    )


def settlement_of(
    price: QuotedPrice,
    request: ImageRequest,
    images: Images,
    facts: ExchangeFacts,
    zone: ZoneInfo,
    result: StoredResult | None,
    *,
    answered: bool = True,
) -> Settlement:
    """Make a settlement at the price in force at the reservation, for size and quality of the answer. `answered` is as in
    `ending_of`."""
    usage, bad = images.usage, images.bad_payload
    answer = AnswerFacts(len(images.items), images.size, images.quality, usage)
    return Settlement(
        ending=ending_of(facts, UpstreamBadPayload(NOT_AN_IMAGE) if bad else None, answered=answered),
        cost_micros=price.cost_micros(request, answer),
        images=len(images.items),
        hour_at_ms=hour_start_ms(price.reserved_at_ms),
        day=local_day(price.reserved_at_ms, zone),
        size=explicit(images.size),
        quality=explicit(images.quality),
        flag="bad_payload" if bad else "short" if images.short else None,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        result=result,
    )


async def retry_until_booked(
    step: Callable[[], Awaitable[object]], fallback: Callable[[], Awaitable[object]] | None = None
) -> bool:
    """Repeat a transition until the database accepts it, however long the database is unavailable.

    Transitions are guarded by the state they start from, so repeating one that had succeeded changes nothing. After
    FAILURES_MAX failures of another kind, which are bugs, `fallback` is repeated instead. Return False when it was used.
    """
    pause_s, failures, used_fallback = FIRST_PAUSE_S, 0, False
    while True:
        try:
            await step()
            return not used_fallback
        except (StoreUnavailable, StorageFull) as exc:
            log.warning("the database refuses a booking; trying again", error=exc.code, pause_s=round(pause_s, 1))
        except Exception as exc:  # Giving up would leave money held for ever.
            failures += 1
            log.error("a booking fails; trying again", failures=failures, pause_s=round(pause_s, 1), exc_info=exc)
            if failures >= FAILURES_MAX and fallback is not None:
                step, fallback, used_fallback = fallback, None, True
        await asyncio.sleep(pause_s * random.uniform(0.5, 1))
        pause_s = min(pause_s * 2, PAUSE_S_MAX)


Listener = Callable[[RequestEnded | RequestRefused], None]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Functions that are called at the end of each request and at each refusal; `app/wiring.py` chooses them."""

    listeners: tuple[Listener, ...]

    def notify(self, event: RequestEnded | RequestRefused) -> None:
        """Call all listeners. Never raises: a listener that fails changes nothing about the request."""
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed", request_id=event.request_id)


def log_event(event: RequestEnded | RequestRefused) -> None:
    """Log the end or the refusal of a request. This is a listener."""
    if isinstance(event, RequestRefused):
        log.info("image request refused", **_facts(event))
        return
    write = log.error if event.alarm else log.info if event.outcome == "settled" else log.warning
    facts = _facts(event) | {"cost": decimal_text(event.cost_micros), "own_ms": event.own_ms}
    del facts["cost_micros"], facts["alarm"]
    if not event.failovers:
        del facts["failovers"]
    write("image request ended", **facts)


def _facts(event: RequestEnded | RequestRefused) -> dict[str, Any]:
    return {field.name: getattr(event, field.name) for field in fields(event)}
