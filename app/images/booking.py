"""Bookings: what an answer of the relay puts into the book, and the retry of a booking the database did not take."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog

from app.core.catalog import AnswerFacts, Model
from app.core.intervals import hour_start_ms, local_day
from app.core.pricing import closed
from app.core.request import ImageRequest
from app.errors import GatewayError, UpstreamBadPayload
from app.spool import Segments, Spool
from app.store.ledger.columns import Ending, Settlement, StoredResult
from app.store.ledger.types import Room
from app.upstream.images import Images

NOT_AN_IMAGE = "The upstream charged for this request, but what it sent is not an image."


@dataclass(frozen=True, slots=True)
class CompleteAnswer:
    """A 200 that was read to its end and is sound. `segments` is what the client gets, lying partly in `spool`."""

    images: Images
    segments: Segments
    spool: Spool


@dataclass(frozen=True, slots=True)
class BookedAnswer:
    """A booked answer. `segments` lie partly in `spool`, which whoever sends it closes. `rooms` is None where the database
    was away when it was booked: it will be booked, but what is left is not known yet."""

    segments: Segments
    spool: Spool
    cost_micros: int
    rooms: Sequence[Room] | None


@dataclass(frozen=True, slots=True)
class QuotedPrice:
    """What was agreed on when the request was reserved."""

    model: Model
    reserved_at_ms: int
    quote_micros: int


@dataclass(frozen=True, slots=True)
class ExchangeFacts:
    """What the exchange itself knows of an answer, beside its content."""

    at_ms: int
    upstream_request_id: str | None
    upstream_ms: int | None


def ending_of(facts: ExchangeFacts, error: GatewayError | None = None, *, answered: bool = True) -> Ending:
    """The end of a request as its row has it; `answered` is False where nobody was there to be facts."""
    return Ending(
        at_ms=facts.at_ms,
        http_status=None if not answered else 200 if error is None else error.status,
        error_code=None if error is None else error.code,
        error=None if error is None else error.to_record(),
        upstream_request_id=facts.upstream_request_id,
        upstream_ms=facts.upstream_ms,
        is_retryable=error is not None and error.retryable,
    )


def settlement_of(
    price: QuotedPrice,
    wanted: ImageRequest,
    images: Images,
    facts: ExchangeFacts,
    zone: ZoneInfo,
    result: StoredResult | None,
    *,
    answered: bool = True,
) -> Settlement:
    """The price of the instant of the reservation, for the size and quality of the answer. `answered` as in `ended`."""
    usage, bad = images.usage, images.bad_payload
    answer = AnswerFacts(len(images.items), images.size, images.quality, usage)
    return Settlement(
        ending=ending_of(facts, UpstreamBadPayload(NOT_AN_IMAGE) if bad else None, answered=answered),
        cost_micros=price.model.cost_micros(wanted, price.reserved_at_ms, price.quote_micros, answer),
        images=len(images.items),
        hour_at_ms=hour_start_ms(price.reserved_at_ms),
        day=local_day(price.reserved_at_ms, zone),
        size=closed(images.size),
        quality=closed(images.quality),
        flag="bad_payload" if bad else "short" if images.short else None,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        result=result,
    )


T = TypeVar("T")
FIRST_PAUSE_S = 0.2
PAUSE_S_MAX = 10.0
log = structlog.get_logger()


async def retry_until_booked(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a transition until the database has answered. Each is guarded by the state it starts from, so one that had
    gone through unnoticed changes nothing when it is done again."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await step()
        except GatewayError as exc:
            log.warning("the database refuses a booking; trying again", error=exc.code, pause_s=round(pause_s, 1))
        except Exception as exc:  # Whatever it is, giving up would leave money held for ever.
            log.error("a booking fails; trying again", pause_s=round(pause_s, 1), exc_info=exc)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1))
        pause_s = min(pause_s * 2, PAUSE_S_MAX)
