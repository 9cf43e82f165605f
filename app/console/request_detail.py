"""Detail of a request for its page: what it cost and why, its times, its pictures, and whether a person may see its prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.api.schemas.requests import RequestDetailOut
from app.console.language import marked as _
from app.console.visit import Visit
from app.control import requests
from app.control.requests import Calculation
from app.errors import NotFound
from app.store.ledger.corrections import corrections_of
from app.store.pictures import PictureRecord
from app.store.refusals import RefusalRecord
from app.store.request_details import RequestNotes, notes_of, refused_dispatches_of
from app.store.requests import RequestRecord

NOT_FOUND = _(
    "There is no such request or refusal for you. A refusal is kept for 30 days, and equal ones in a row are kept as one; without "
    "a valid key none is kept."
)
ID_TIME = slice(4, 16)
"""Hex digits of a request id that are the time of its arrival in Unix ms."""


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Event of a request. `at_ms` is in Unix ms, `after_ms` since the event before, None for the first."""

    name: str
    at_ms: int
    after_ms: int | None


@dataclass(frozen=True, slots=True)
class KeptThumbnail:
    """Kept picture. `may_look`: the person sees it without a click that is logged."""

    record: PictureRecord
    may_look: bool


@dataclass(frozen=True, slots=True)
class RequestDetail:
    """Request with everything its page shows. `prompt` is None where it is not kept or private to somebody else, which
    `is_private` says."""

    out: RequestDetailOut
    key: str
    notes: RequestNotes
    timeline: list[TimelineEvent]
    calculation: Calculation | None
    thumbnails: list[KeptThumbnail]
    source: KeptThumbnail | None
    prompt: str | None
    is_private: bool

    @property
    def corrected_micros(self) -> int:
        return sum(each.cost_micros for each in self.out.corrections)


async def find(visit: Visit, request_id: str) -> RequestRecord | RefusalRecord:
    """Find a request or a refusal by its id. Raises NotFound, to members also for somebody else's."""
    try:
        found = await requests.show_request_or_refusal(visit.database, request_id)
    except NotFound:
        raise NotFound(NOT_FOUND) from None
    if not visit.sees_all and found.user_id != visit.user.user_id:
        raise NotFound(NOT_FOUND)
    return found


async def detail_of(visit: Visit, found: RequestRecord) -> RequestDetail:
    """Read what the page of a request shows besides its row."""
    (row,) = await requests.listed(visit.database, [found], visit.user.user_id)
    corrections = await visit.database.ask(corrections_of, found.id)
    refused = await visit.database.ask(refused_dispatches_of, found.id)
    notes = await visit.database.ask(notes_of, found.id)
    thumbnails = thumbnails_of(visit, row.pictures)
    may_read = found.user_id == visit.user.user_id or (bool(thumbnails) and all(each.may_look for each in thumbnails))
    return RequestDetail(
        out=RequestDetailOut.with_details(found, corrections, refused),
        key=row.key,
        notes=notes,
        timeline=timeline(found, notes),
        calculation=await requests.calculation_of(visit.database, found),
        thumbnails=thumbnails,
        source=None if row.source is None else KeptThumbnail(row.source, may_look=True),
        prompt=notes.prompt if may_read else None,
        is_private=not may_read,
    )


def thumbnails_of(visit: Visit, pictures: Sequence[PictureRecord]) -> list[KeptThumbnail]:
    """Say of each picture whether the person may look at it without a click that is logged."""
    own_id = visit.user.user_id
    return [KeptThumbnail(each, each.user_id == own_id or each.visibility == "project") for each in pictures]


def timeline(found: RequestRecord, notes: RequestNotes) -> list[TimelineEvent]:
    """List what is known of the events of a request, in their order."""
    received_ms = None
    if found.dispatched_at_ms is not None and found.upstream_ms is not None:
        received_ms = found.dispatched_at_ms + found.upstream_ms
    times = [
        ("arrived", _arrived_ms(found)),
        ("reserved", found.reserved_at_ms),
        ("sent", found.dispatched_at_ms),
        ("received", received_ms),
        ("stored", notes.stored_at_ms),
        (found.state, found.ended_at_ms),
        ("delivered", notes.delivered_at_ms),
        ("tried", notes.tried_at_ms if notes.tries > 1 else None),
    ]
    known = sorted(((name, at_ms) for name, at_ms in times if at_ms is not None), key=lambda each: each[1])
    before = [None, *(at_ms for _, at_ms in known)]
    return [
        TimelineEvent(name, at_ms, None if earlier is None else at_ms - earlier)
        for (name, at_ms), earlier in zip(known, before, strict=False)
    ]


def _arrived_ms(found: RequestRecord) -> int | None:
    """Read the time of arrival from the id, which tells it as far as the id is of this gateway's form."""
    try:
        at_ms = int(found.id[ID_TIME], 16)
    except ValueError:
        return None
    return at_ms if 0 <= found.reserved_at_ms - at_ms < 3_600_000 else None
