"""The way of one image request: seen before? admitted? then an exchange that outlives the client who asked for it."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from app.core.fingerprint import fingerprint
from app.core.grants import Grant
from app.core.request import ImageRequest
from app.core.retry import Retry
from app.errors import Draining, GatewayError, Overloaded, StorageFull, StoreUnavailable
from app.images.admission import Admission, Admitted, RequestIdentity
from app.images.booking import BookedAnswer, retry_until_booked
from app.images.exchange import Exchange, ExchangeContext
from app.images.pending import ClientDeadline, PendingAnswer
from app.images.replay import DeliveryNotes, Replay
from app.images.streaming import EventQueue
from app.rates import RateState
from app.store.ledger.columns import Ending
from app.store.requests import StoredRequest

BUSY_RETRY_AFTER_S_MAX = 10
"""Not all at once: whoever was turned away together would come back together."""
DRAIN_RETRY_AFTER_S = 5
"""An SDK comes back twice: whoever balances the load has seen by then that this process is not ready any more."""
ATTACH_TRIES = 5
LEAVING = "This gateway is shutting down"
NOTE_S = 1.0
"""No client is facts to try again sooner."""
UNSENT = "The client had hung up before this request could be sent; nothing was bought. Try again."
log = structlog.get_logger()


class ClientGone(Exception):
    """The client hung up before anything was sent for it; nothing was bought."""


async def _stays() -> bool:
    return False


Left = Callable[[], Awaitable[bool]]


class ImageService:
    """Lets at most `in_flight_max` requests into this process at once, and none once it drains."""

    def __init__(
        self,
        admission: Admission,
        context: ExchangeContext,
        replay: Replay,
        deliveries: DeliveryNotes,
        in_flight_max: int,
        client_deadline_s: float,
    ):
        self._admission = admission
        self._context = context
        self.replay = replay
        self._deliveries = deliveries
        self._in_flight_max = in_flight_max
        self._client_deadline_s = client_deadline_s
        self._in_flight = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._waiting: set[ClientDeadline] = set()
        self.closed = False
        self.draining = False

    @property
    def in_flight(self) -> int:
        return self._in_flight

    async def wait_until_idle(self) -> None:
        """Wait until nothing is in flight."""
        await self._empty.wait()

    def close(self) -> None:
        """Let go of the clients that still wait: the process ends, and what it could not finish is recovered. Idempotent."""
        self.closed = True
        for deadline in self._waiting:
            deadline.end(LEAVING)
        self._waiting.clear()

    async def submit(
        self,
        request_id: str,
        grant: Grant,
        wanted: ImageRequest,
        retry: Retry,
        left: Left = _stays,
        *,
        collected: bool = False,
    ) -> PendingAnswer:
        """Attach to the same request before this one, or admit `wanted` and send it. Raises the refusal, and ClientGone when
        `left` tells that the client has hung up before anything was sent: then nothing is.

        `wanted` is closed in any case, now or by its exchange. `collected`: the client will come for the answer later.
        """
        identity = RequestIdentity(retry, fingerprint(wanted))
        try:
            self._check_open()
            self._count()
            try:
                return await self._attach_or_admit(request_id, grant, wanted, identity, left, collected)
            except BaseException:
                self._let_out()
                raise
        except GatewayError as exc:
            wanted.close()
            if retry.count == 0:
                await self._note(exc, grant, identity, left)
            raise
        except BaseException:
            wanted.close()
            raise

    def collect(self, original: StoredRequest) -> PendingAnswer:
        """The answer of a request that has ended, for its owner."""
        answer = self.replay.answer(original.id)
        self._count()
        return self._start(original.id, (), EventQueue() if original.stream else None, _set(), answer, replayed=True)

    def _check_open(self) -> None:
        if self.draining:
            message = "This gateway is shutting down; nothing was bought. Try again: another one takes over."
            raise Draining(message, retry_after_s=DRAIN_RETRY_AFTER_S)
        if self._in_flight >= self._in_flight_max:
            message = (
                f"This gateway works on {self._in_flight_max} images already; nothing was bought. Try again shortly."
            )
            raise Overloaded(message, retry_after_s=random.randint(1, BUSY_RETRY_AFTER_S_MAX))

    def _count(self) -> None:
        self._in_flight += 1
        self._empty.clear()

    def _let_out(self, _task: object = None) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._empty.set()

    async def _attach_or_admit(
        self,
        request_id: str,
        grant: Grant,
        wanted: ImageRequest,
        identity: RequestIdentity,
        left: Left,
        collected: bool,
    ) -> PendingAnswer:
        for _ in range(ATTACH_TRIES):
            original = await self.replay.original(grant, identity.retry, identity.fingerprint)
            if original is not None:
                return await self._attach(original, grant, wanted)
            try:
                self._context.kept_answers.check_room()
                admitted = await self._admission.admit(request_id, grant, wanted, identity)
            except GatewayError as exc:
                if identity.retry.count > 0:  # It has looked for its original by now, and there is none.
                    await self._note(exc, grant, identity, left)
                raise
            if admitted is not None:
                if identity.retry.key is None and await left() and await self._withdrawn(admitted):
                    raise ClientGone
                return self._send(admitted, wanted, expected=collected or identity.retry.key is not None)
        raise Overloaded(
            "Too many requests with this Idempotency-Key at once; nothing was bought for this one. Try again."
        )

    async def _withdrawn(self, admitted: Admitted) -> bool:
        """Its client has hung up while it was admitted, and may have asked again and bought before the reservation stood.

        Nothing was sent on it, so it is given back. False when the retry has found it after all: then it is sent for that one.
        """
        order, context = admitted.order, self._context
        try:
            if not await self.replay.retries.disown(order.request_id, order.tries):
                return False
        except (StoreUnavailable, StorageFull):
            log.warning("a reservation may have been joined, and is given back", request_id=order.request_id)
        ending = Ending(context.clock.now_ms(), None, StoreUnavailable.code, StoreUnavailable(UNSENT).to_record())
        release = context.ledger.release
        context.background.start(
            retry_until_booked(lambda: release(order.request_id, ending, ("reserved",), order.owner))
        )
        return True

    async def _attach(self, original: str, grant: Grant, wanted: ImageRequest) -> PendingAnswer:
        """Counts as a request in the rates, not as images, and holds nothing."""
        rates = await self._admission.spend_rates(grant, wanted.model, images=0)
        wanted.close()
        answer = self.replay.answer(original, wanted)
        return self._start(original, rates, EventQueue() if wanted.stream else None, _set(), answer, replayed=True)

    def _send(self, admitted: Admitted, wanted: ImageRequest, *, expected: bool) -> PendingAnswer:
        queue, id = EventQueue() if wanted.stream else None, admitted.order.request_id
        exchange = Exchange(self._context, admitted, wanted, queue, expected)
        pending = self._start(id, admitted.rates, queue, exchange.sent, exchange.run(), replayed=False)
        running = self.replay.running
        running[id] = pending._task
        pending._task.add_done_callback(lambda _: running.pop(id))
        return pending

    def _start(
        self,
        request_id: str,
        rates: tuple[RateState, ...],
        queue: EventQueue | None,
        sent: asyncio.Event,
        work: Coroutine[Any, Any, BookedAnswer],
        *,
        replayed: bool,
    ) -> PendingAnswer:
        task = self._context.background.start(work, awaited=True)
        task.add_done_callback(self._let_out)
        return PendingAnswer(request_id, rates, replayed, queue, sent, task, self._deadline(task), self._deliveries)

    def _deadline(self, task: asyncio.Task[BookedAnswer]) -> ClientDeadline:
        deadline = ClientDeadline(task, self._client_deadline_s)
        if self.closed:
            deadline.end(LEAVING)
        else:
            self._waiting.add(deadline)
            task.add_done_callback(lambda _: self._waiting.discard(deadline))
        return deadline

    async def _note(self, refusal: GatewayError, grant: Grant, identity: RequestIdentity, left: Left) -> None:
        """A client that will try again because of us must not be given somebody else's picture then.

        One that has left may have tried again already, and what is noted too late nobody looks for: others would find it.
        """
        if not refusal.retryable or identity.retry.key is not None or not identity.retry.counting or await left():
            return
        writing = self._context.background.start(self._noted(grant, identity), awaited=True)
        if not isinstance(refusal, StoreUnavailable | StorageFull):  # Those who were refused for it have waited enough.
            await writing

    async def _noted(self, grant: Grant, identity: RequestIdentity) -> None:
        retries, now_ms = self.replay.retries, self._context.clock.now_ms()
        with suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(NOTE_S):
                await retries.note_refusal(grant.key_id, identity.fingerprint, identity.retry.count, now_ms)


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
