"""What an answer of the relay puts into the book."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.core.catalog import AnswerFacts, Model
from app.core.intervals import hour_start_ms, local_day
from app.core.pricing import closed
from app.core.request import ImageRequest
from app.spool import Segments, Spool
from app.store.purchases import Ending, Settlement
from app.upstream.images import Images


@dataclass(frozen=True, slots=True)
class Answered:
    """A 200 that was read to its end and is sound. `segments` is what the client gets, lying partly in `spool`."""

    images: Images
    segments: Segments
    spool: Spool


@dataclass(frozen=True, slots=True)
class Basis:
    """What was agreed on when the request was reserved."""

    model: Model
    reserved_at_ms: int
    quote_micros: int


@dataclass(frozen=True, slots=True)
class Told:
    """What the exchange itself knows of an answer, beside its content."""

    at_ms: int
    upstream_request_id: str | None
    upstream_ms: int | None


def ended(told: Told, *, http_status: int | None, error_code: str | None = None) -> Ending:
    """The end of a request as its row has it."""
    return Ending(told.at_ms, http_status, error_code, told.upstream_request_id, told.upstream_ms)


def settled(basis: Basis, wanted: ImageRequest, images: Images, told: Told, zone: ZoneInfo) -> Settlement:
    """The price of the instant of the reservation, for the size and quality of the answer."""
    usage, bad = images.usage, images.bad_payload
    facts = AnswerFacts(len(images.items), images.size, images.quality, usage)
    return Settlement(
        ending=ended(told, http_status=424 if bad else 200, error_code="upstream_bad_payload" if bad else None),
        cost_micros=basis.model.cost_micros(wanted, basis.reserved_at_ms, basis.quote_micros, facts),
        images=len(images.items),
        hour_at_ms=hour_start_ms(basis.reserved_at_ms),
        day=local_day(basis.reserved_at_ms, zone),
        size=closed(images.size),
        quality=closed(images.quality),
        flag="bad_payload" if bad else "short" if images.short else None,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
    )
