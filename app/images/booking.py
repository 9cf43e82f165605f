"""What an answer of the relay puts into the book."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.core.catalog import AnswerFacts, Model
from app.core.intervals import hour_start_ms, local_day
from app.core.pricing import closed
from app.core.request import ImageRequest
from app.errors import GatewayError, UpstreamBadPayload
from app.spool import Segments, Spool
from app.store.ledger.types import Ending, Room, Settlement, StoredResult
from app.upstream.images import Images

NOT_AN_IMAGE = "The upstream charged for this request, but what it sent is not an image."


@dataclass(frozen=True, slots=True)
class Answered:
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


def ended(told: ExchangeFacts, error: GatewayError | None = None, *, answered: bool = True) -> Ending:
    """The end of a request as its row has it; `answered` is False where nobody was there to be told."""
    return Ending(
        at_ms=told.at_ms,
        http_status=None if not answered else 200 if error is None else error.status,
        error_code=None if error is None else error.code,
        error=None if error is None else error.to_record(),
        upstream_request_id=told.upstream_request_id,
        upstream_ms=told.upstream_ms,
        is_retryable=error is not None and error.retryable,
    )


def settled(
    basis: QuotedPrice,
    wanted: ImageRequest,
    images: Images,
    told: ExchangeFacts,
    zone: ZoneInfo,
    result: StoredResult | None,
    *,
    answered: bool = True,
) -> Settlement:
    """The price of the instant of the reservation, for the size and quality of the answer. `answered` as in `ended`."""
    usage, bad = images.usage, images.bad_payload
    facts = AnswerFacts(len(images.items), images.size, images.quality, usage)
    return Settlement(
        ending=ended(told, UpstreamBadPayload(NOT_AN_IMAGE) if bad else None, answered=answered),
        cost_micros=basis.model.cost_micros(wanted, basis.reserved_at_ms, basis.quote_micros, facts),
        images=len(images.items),
        hour_at_ms=hour_start_ms(basis.reserved_at_ms),
        day=local_day(basis.reserved_at_ms, zone),
        size=closed(images.size),
        quality=closed(images.quality),
        flag="bad_payload" if bad else "short" if images.short else None,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        result=result,
    )
