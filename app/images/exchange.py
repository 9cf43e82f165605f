"""One conversation with the relay, from the dispatched mark to the booked end.

It belongs to the process, not to the connection: a client that leaves changes nothing. Once the first byte may have left, the
request is never sent again, whatever happens.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar
from zoneinfo import ZoneInfo

import structlog

from app.chores import BackgroundTasks
from app.core.request import DEFAULT_RELAY, ImageRequest
from app.errors import (
    GatewayError,
    InternalError,
    StorageFull,
    StoreUnavailable,
    UpstreamBadPayload,
    UpstreamUnreachable,
)
from app.images.admission import Admitted
from app.images.answers import KeptAnswers, read_answer, read_refusal
from app.images.booking import (
    NOT_AN_IMAGE,
    BookedAnswer,
    CompleteAnswer,
    ExchangeFacts,
    QuotedPrice,
    ending_of,
    retry_until_booked,
    settlement_of,
)
from app.images.crash import crash_point
from app.images.streaming import EventQueue, complete_answer, read_events
from app.spool import Spool
from app.store.clock import Clock
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.columns import Settlement
from app.store.ledger.types import Ledger, Room
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer, Broken, NotSent, Upstream
from app.upstream.images import Images

CONNECT_TRIES = 3
DISPATCH_TRIES = 3
PAUSE_S = 0.1
T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ExchangeContext:
    """What every exchange of a gateway works with."""

    upstream: Upstream
    database: Database
    ledger: Ledger
    kept_answers: KeptAnswers
    background: BackgroundTasks
    clock: Clock
    zone: ZoneInfo
    deadline_s: float
    answer_bytes_max: int


@dataclass(slots=True)
class Exchange:
    """Runs once. `queue` takes the events of a streamed answer; None where none were asked for."""

    context: ExchangeContext
    admitted: Admitted
    wanted: ImageRequest
    queue: EventQueue | None
    expected: bool
    """Somebody may well come for the answer again: it is kept longer."""
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the dispatched mark stands, or it is clear that it never will."""
    completed: list[Images] = field(default_factory=list)
    """Of a stream, so far."""
    spool: Spool = field(init=False)
    upstream_request_id: str | None = None
    dispatched_at_ms: int = 0

    def __post_init__(self) -> None:
        self.spool = self.context.kept_answers.create(self.request_id)

    @property
    def request_id(self) -> str:
        return self.admitted.order.request_id

    async def run(self) -> BookedAnswer:
        """Raises the GatewayError the client is to read. Whatever it raises, the request is booked, or will be."""
        try:
            try:
                await self._dispatch()
                crash_point("after_dispatch")
                self.sent.set()
                outcome = await self._outcome()
                crash_point("after_last_byte")
            finally:
                self.sent.set()
                self.wanted.close()
            return await self._book(outcome)
        except BaseException:
            self.spool.close()
            raise

    async def _dispatch(self) -> None:
        """Put the dispatched mark into the book. Raises StoreUnavailable when it does not stand: then nothing is sent."""
        order, ledger = self.admitted.order, self.context.ledger
        for attempt in range(DISPATCH_TRIES):
            self.dispatched_at_ms = self.context.clock.now_ms()
            try:
                crash_point("before_dispatch")
                if await ledger.dispatch(order.request_id, order.owner, self.dispatched_at_ms, DEFAULT_RELAY):
                    return
                break
            except (StoreUnavailable, StorageFull):
                await asyncio.sleep(PAUSE_S * 2**attempt)
        unsent = StoreUnavailable(
            "The reservation did not hold until the request could be sent; nothing was bought. Try again."
        )
        ending = ending_of(self._facts(), unsent)
        self.context.background.start(
            retry_until_booked(
                lambda: ledger.release(order.request_id, ending, ("reserved", "dispatched"), order.owner)
            )
        )
        raise unsent

    async def _outcome(self) -> CompleteAnswer | Verdict:
        """What came of sending it. Never raises: whatever is not understood may have been charged."""
        try:
            async with asyncio.timeout(self.context.deadline_s):
                return await self._converse()
        except NotSent as exc:
            log.warning("the relay cannot be reached", request_id=self.request_id, reason=str(exc))
            return Verdict(
                "released", UpstreamUnreachable("The upstream cannot be reached; nothing was bought. Try again.")
            )
        except TimeoutError:
            return self._so_far() or unknown(f"The upstream did not finish within {self.context.deadline_s:.0f} s.")
        except Broken:
            cut = "The connection to the upstream broke off after the request had been sent."
            return self._so_far() or unknown(cut)
        except OSError as exc:
            log.error("the answer could not be stored", request_id=self.request_id, error=exc.strerror)
            return self._so_far() or unknown("The gateway had no room left to store the upstream's answer.")
        except Exception:
            log.exception("the exchange failed", request_id=self.request_id)
            return Verdict("unknown", InternalError("The gateway made a mistake while it read the upstream's answer."))

    def _so_far(self) -> CompleteAnswer | None:
        """The images of a stream that were complete when it ended too soon: the client has them."""
        return complete_answer(self.completed, [], self.spool, self.wanted) if self.completed else None

    async def _converse(self) -> CompleteAnswer | Verdict:
        answer = await self._send()
        self.upstream_request_id = answer.upstream_request_id
        created_s = self.admitted.order.reserved_at_ms // 1000
        try:
            if answer.encoded:
                return unknown("The upstream's answer is compressed, which it was asked not to be.")
            if answer.status != 200 or "html" in answer.content_type:
                return await read_refusal(answer)
            if self.queue is not None and "event-stream" in answer.content_type:
                return await read_events(answer, self.spool, self.wanted, created_s, self.queue, self.completed)
            return await read_answer(answer, self.spool, self.wanted, created_s, self.context.answer_bytes_max)
        finally:
            await answer.close()

    async def _send(self) -> Answer:
        """Connect again where no byte has left; never after. Raises NotSent or Broken."""
        drops = self.admitted.model.refuses_response_format
        attempt = 0
        while True:
            try:
                return await self.context.upstream.send(
                    self.wanted, model_drops_response_format=drops, request_id=self.request_id
                )
            except NotSent:
                attempt += 1
                if attempt == CONNECT_TRIES:
                    raise
            await asyncio.sleep(PAUSE_S * 2**attempt)

    async def _book(self, outcome: CompleteAnswer | Verdict) -> BookedAnswer:
        ledger, id = self.context.ledger, self.request_id
        if isinstance(outcome, Verdict):
            end = ledger.release if outcome.outcome == "released" else ledger.give_up
            ending = ending_of(self._facts(), outcome.error)
            self._report(outcome)
            crash_point("before_release")
            await self._now_or_later(lambda: end(id, ending))
            crash_point("after_release")
            raise outcome.error.copy()  # A local that is raised is a cycle, and would keep all of this.
        order = self.admitted.order
        price = QuotedPrice(self.admitted.model, order.reserved_at_ms, order.quote_micros)
        facts = self._facts()
        result = self.context.kept_answers.stored(
            outcome.spool, facts.at_ms, expected=self.expected or outcome.images.bad_payload
        )
        settlement = settlement_of(price, self.wanted, outcome.images, facts, self.context.zone, result)
        await self.context.kept_answers.share(id, result)
        crash_point("before_settle")
        rooms = await self._now_or_later(lambda: self._settle(settlement))
        crash_point("after_settle")
        if outcome.images.bad_payload:
            with suppress(OSError):
                self.spool.keep()
            raise UpstreamBadPayload(NOT_AN_IMAGE)
        return BookedAnswer(outcome.segments, outcome.spool, settlement.cost_micros, rooms)

    async def _now_or_later(self, book: Callable[[], Awaitable[T]]) -> T | None:
        """What `book` returned; None when it failed, for whatever reason, and will be tried until it goes through."""
        try:
            return await book()
        except Exception as exc:
            if not isinstance(exc, GatewayError):
                log.error("a booking failed", request_id=self.request_id, exc_info=exc)
            with suppress(OSError):  # A full disk must not keep the picture from the client.
                await asyncio.to_thread(self._keep)
            self.context.background.start(retry_until_booked(book))
            return None

    def _keep(self) -> None:
        self.spool.keep()
        self.spool.sync()

    async def _settle(self, settlement: Settlement) -> Sequence[Room] | None:
        """Book it; where others have given the request back meanwhile, as a correction: what was charged is a fact."""
        rooms = await self.context.ledger.settle(self.request_id, settlement)
        if rooms is None:
            at_ms = self.context.clock.now_ms()
            late = corrections.late(
                self.request_id,
                settlement.cost_micros,
                settlement.images,
                at_ms,
                "the answer came after it was released",
            )
            if await corrections.post(self.context.database, late, self.context.zone, ("released",)):
                log.error("a released request was charged after all", request_id=self.request_id)
        return rooms

    def _report(self, verdict: Verdict) -> None:
        write = log.error if verdict.alarm else log.warning
        write("the relay did not deliver", request_id=self.request_id, outcome=verdict.outcome, code=verdict.error.code)

    def _facts(self) -> ExchangeFacts:
        now_ms = self.context.clock.now_ms()
        return ExchangeFacts(now_ms, self.upstream_request_id, now_ms - self.dispatched_at_ms)
