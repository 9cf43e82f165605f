"""Exchange with the relay, from the reservation to the booked end.

An exchange runs in a task of the process, not of the client's connection. Once the first byte may have been sent, the request is
sent again only to another relay, after a refusal that cost nothing (`sending`). Every admitted request ends here, with one event;
`recovery` ends those whose process has died.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog

from app.chores import BackgroundTasks
from app.core.endings import Outcome, RequestEnded
from app.core.relays import DEFAULT
from app.core.request import ImageRequest
from app.errors import GatewayError, InternalError, UpstreamBadPayload
from app.images.admission import Admitted
from app.images.answers import KeptAnswers
from app.images.booking import (
    NOT_AN_IMAGE,
    BookedAnswer,
    CompleteAnswer,
    ExchangeFacts,
    Listeners,
    QuotedPrice,
    ending_of,
    retry_until_booked,
    settlement_of,
)
from app.images.crash import crash_point
from app.images.sending import Sending, Unsent
from app.images.streaming import EventQueue, ReceivedAnswer
from app.store.clock import Clock
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.columns import Settlement, State
from app.store.ledger.types import Ledger, Room
from app.upstream.classify import Verdict
from app.upstream.pool import RelayPool

UNBOOKED = "The gateway made a mistake while it booked the upstream's answer; an administrator can look it up."
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ExchangeContext:
    """Dependencies that all exchanges of a gateway share."""

    relays: RelayPool
    database: Database
    ledger: Ledger
    kept_answers: KeptAnswers
    background: BackgroundTasks
    listeners: Listeners
    clock: Clock
    zone: ZoneInfo
    deadline_s: float
    answer_bytes_max: int


@dataclass(slots=True)
class Exchange:
    """Exchange of one admitted request; run it once. `queue` receives the events of a streamed answer, None for a plain one."""

    context: ExchangeContext
    admitted: Admitted
    request: ImageRequest
    queue: EventQueue | None
    replay_expected: bool
    """True when the answer will probably be asked for again, so that it is kept longer."""
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the dispatched mark is committed, or the exchange has failed before it."""
    received: ReceivedAnswer = field(init=False)
    sending: Sending = field(init=False)

    def __post_init__(self) -> None:
        created_s = self.admitted.reservation.reserved_at_ms // 1000
        spool = self.context.kept_answers.create(self.request_id)
        self.received = ReceivedAnswer(spool, self.request, created_s, self.context.answer_bytes_max, self.queue)
        self.sending = Sending(self.context, self.admitted, self.request, self.received, self.sent)

    @property
    def request_id(self) -> str:
        return self.admitted.reservation.request_id

    async def run(self) -> BookedAnswer:
        """Send the request and book its outcome. Raises the GatewayError for the client; the outcome is booked all the same, now or
        in the background."""
        try:
            try:
                outcome = await self.sending.run()
                crash_point("after_last_byte")
            except Unsent as exc:
                self.release_unsent(exc.error, "reserved", "dispatched")
                raise exc.error.copy() from None
            finally:
                self.sent.set()
                self.request.close()
            return await self._book(outcome)
        except BaseException:
            self.received.close()
            raise

    def release_unsent(self, error: GatewayError, *states: State, answered: bool = True) -> None:
        """Release the reservation in the background, from one of `states`; nothing was sent for it."""
        ledger, owner = self.context.ledger, self.admitted.reservation.owner
        ending, event = ending_of(self._facts(), error, answered=answered), self._event("released", error)
        release = self._book_later(lambda: ledger.release(self.request_id, ending, states, owner), event, None)
        self.context.background.start(release)

    async def _book(self, outcome: CompleteAnswer | Verdict) -> BookedAnswer:
        if isinstance(outcome, Verdict):
            await self._end_without_images(outcome)
            raise outcome.error.copy()  # Raising a local variable makes a cycle, which would keep this frame in memory.
        try:
            settlement = await self._prepare_settlement(outcome)
        except Exception:
            log.exception("an answer could not be booked", request_id=self.request_id)
            await self._keep_answer()
            await self._end_without_images(Verdict("unknown", InternalError(UNBOOKED)))
            raise InternalError(UNBOOKED) from None
        crash_point("before_settle")
        error = UpstreamBadPayload(NOT_AN_IMAGE) if outcome.images.bad_payload else None
        event = self._event("settled", error, settlement.cost_micros, settlement.images)
        rooms = await self._book_or_retry(lambda: self._settle(settlement), event)
        crash_point("after_settle")
        if error is not None:
            with suppress(OSError):
                outcome.spool.keep()
            raise error.copy()
        return outcome.booked(settlement.cost_micros, rooms, self.request.answer_format)

    async def _prepare_settlement(self, outcome: CompleteAnswer) -> Settlement:
        admitted, facts, kept = self.admitted, self._facts(), self.context.kept_answers
        price = QuotedPrice(admitted.model, self.sending.relay or DEFAULT, admitted.reservation.reserved_at_ms)
        keep_longer = self.replay_expected or outcome.images.bad_payload
        result = kept.stored(outcome.spool, facts.at_ms, self.request, replay_expected=keep_longer)
        settlement = settlement_of(price, self.request, outcome.images, facts, self.context.zone, result)
        await kept.share(self.request_id, result)
        return settlement

    async def _end_without_images(self, verdict: Verdict) -> None:
        ledger, ending = self.context.ledger, ending_of(self._facts(), verdict.error, refusal=verdict.refusal)
        end = ledger.release if verdict.outcome == "released" else ledger.give_up
        event = replace(self._event(verdict.outcome, verdict.error), alarm=verdict.alarm)
        crash_point("before_release")
        await self._book_or_retry(lambda: end(self.request_id, ending), event)
        crash_point("after_release")

    async def _book_or_retry(self, book: Callable[[], Awaitable[T]], event: RequestEnded) -> T | None:
        """Call `book` and return its result. When it fails, return None and retry it in the background; after repeated bugs the
        request ends as unknown.

        No event when `book` returns False (release and give_up): somebody else has ended the request. A settlement returns rooms or
        None and is told in both cases; so is whatever is booked later.
        """
        try:
            booked = await book()
        except (Exception, asyncio.CancelledError) as exc:
            await self._keep_answer()
            if isinstance(exc, asyncio.CancelledError):  # The process ends, and the next one settles what it finds.
                raise
            if not isinstance(exc, GatewayError):
                log.error("a booking failed", request_id=self.request_id, exc_info=exc)
            ledger, id, ending = self.context.ledger, self.request_id, ending_of(self._facts(), InternalError(UNBOOKED))
            self.context.background.start(self._book_kept(book, event, lambda: ledger.give_up(id, ending)))
            return None
        if booked is not False:
            self.context.listeners.notify(event)
        return booked

    async def _book_kept(
        self,
        book: Callable[[], Awaitable[object]],
        event: RequestEnded,
        fallback: Callable[[], Awaitable[object]],
    ) -> None:
        """Book later, then remove the file that keeps the answer meanwhile, unless it is the answer's only place."""
        await self._book_later(book, event, fallback)
        await self.context.kept_answers.remove_copy(self.request_id)

    async def _book_later(
        self,
        book: Callable[[], Awaitable[object]],
        event: RequestEnded,
        fallback: Callable[[], Awaitable[object]] | None,
    ) -> None:
        if not await retry_until_booked(book, fallback):
            event = replace(event, outcome="unknown", code=InternalError.code, cost_micros=0, images=0)
        self.context.listeners.notify(event)

    async def _keep_answer(self) -> None:
        """Write the answer to its named file and fsync it. Errors are ignored, so that the client gets its images all the same."""
        with suppress(OSError):
            await asyncio.to_thread(self.received.keep)

    async def _settle(self, settlement: Settlement) -> Sequence[Room] | None:
        """Settle the request. If recovery has released it meanwhile, post a correction, because the relay has charged it."""
        rooms = await self.context.ledger.settle(self.request_id, settlement)
        if rooms is None:
            at_ms, why = self.context.clock.now_ms(), "the answer came after it was released"
            late = corrections.late(self.request_id, settlement.cost_micros, settlement.images, at_ms, why)
            if await corrections.post(self.context.database, late, self.context.zone, ("released",)):
                log.error("a released request was charged after all", request_id=self.request_id)
        return rooms

    def _event(
        self, outcome: Outcome, error: GatewayError | None, cost_micros: int = 0, images: int = 0
    ) -> RequestEnded:
        reservation, facts = self.admitted.reservation, self._facts()
        return RequestEnded(
            request_id=reservation.request_id,
            api_key_id=reservation.api_key_id,
            user_id=reservation.user_id,
            project_id=reservation.project_id,
            operation=reservation.operation,
            model=reservation.model,
            outcome=outcome,
            code=None if error is None else error.code,
            cost_micros=cost_micros,
            images=images,
            total_ms=facts.at_ms - reservation.reserved_at_ms,
            relay_ms=facts.upstream_ms or 0,
            relay=self.sending.relay.name if self.sending.relay else None,
            failovers=self.sending.failovers,
        )

    def _facts(self) -> ExchangeFacts:
        now_ms, sent_at_ms = self.context.clock.now_ms(), self.sending.dispatched_at_ms
        upstream_ms = None if sent_at_ms is None else now_ms - sent_at_ms
        return ExchangeFacts(now_ms, self.sending.upstream_request_id, upstream_ms)
