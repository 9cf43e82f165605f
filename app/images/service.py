"""Service of image requests: replays a repeated one, or admits and sends a new one in a task that outlives its client."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog

from app.core.endings import RequestRefused
from app.core.fingerprint import fingerprint
from app.core.grants import Grant
from app.core.request import ImageRequest, Operation
from app.core.retry import RepeatHeaders
from app.errors import Draining, GatewayError, InternalError, Overloaded, StorageFull, StoreUnavailable
from app.images.admission import Admission, RequestIdentity
from app.images.booking import BookedAnswer
from app.images.exchange import Exchange, ExchangeContext
from app.images.pending import ClientDeadline, PendingAnswer
from app.images.places import Places
from app.images.replay import DeliveryNotes, Replay
from app.images.streaming import EventQueue
from app.rates import RateState
from app.store.requests import StoredRequest

DRAIN_RETRY_AFTER_S = 5
"""`Retry-After` during a drain. By then the load balancer has seen that this process is not ready any more."""
ATTACH_TRIES = 5
DRAINING = "This gateway is shutting down; nothing was bought. Try again: another one takes over."
SHUTTING_DOWN = "This gateway is shutting down"
NOTE_TIMEOUT_S = 1.0
"""Longest time to record a refusal. It is the shortest `Retry-After`, so the record stands before the retry comes."""
UNSENT = "The client had hung up before this request could be sent; nothing was bought. Try again."
log = structlog.get_logger()


class ClientGone(Exception):
    """Raised when the client hung up before its request was sent; nothing was bought."""


async def _never_disconnected() -> bool:
    return False


HasDisconnected = Callable[[], Awaitable[bool]]


class ImageService:
    """Service of image requests. It admits as many at once as `places` has, and none once it drains."""

    def __init__(
        self,
        admission: Admission,
        context: ExchangeContext,
        replay: Replay,
        deliveries: DeliveryNotes,
        places: Places,
        client_deadline_s: float,
    ):
        self._admission = admission
        self.duplicates = admission.duplicates
        self._context = context
        self.replay = replay
        self._deliveries = deliveries
        self.places = places
        self._client_deadline_s = client_deadline_s
        self._deadlines: set[ClientDeadline] = set()
        self.closed = False
        self.draining = False

    @property
    def in_flight(self) -> int:
        """Number of requests that are admitted or being admitted. Those attached to an earlier request do not count."""
        return self.places.in_flight

    async def wait_until_idle(self) -> None:
        """Wait until no request is in flight and no client is attached to one."""
        await self.places.idle.wait()

    def close(self) -> None:
        """Answer the clients that still wait, because the process ends; recovery settles their requests. Idempotent."""
        self.closed = True
        for deadline in self._deadlines:
            deadline.end(SHUTTING_DOWN)
        self._deadlines.clear()

    async def submit(
        self,
        request_id: str,
        grant: Grant,
        request: ImageRequest,
        retry: RepeatHeaders,
        has_disconnected: HasDisconnected = _never_disconnected,
        *,
        deferred: bool = False,
    ) -> PendingAnswer:
        """Attach to the earlier request that `request` repeats, or admit and send it.

        Raises the GatewayError of a refusal, which the listeners have heard already, and ClientGone when `has_disconnected` returns
        True before the request was sent. `request` is closed in any case. `deferred`: the client fetches the answer later.
        """
        identity = RequestIdentity(retry, fingerprint(request))
        try:
            if self.draining:
                raise Draining(DRAINING, retry_after_s=DRAIN_RETRY_AFTER_S)
            return await self._attach_or_admit(request_id, grant, request, identity, has_disconnected, deferred)
        except GatewayError as exc:
            request.close()
            self.note_refusal(request_id, grant, exc, request.operation, request.model)
            if retry.count == 0:
                await self._remember_refusal(exc, grant, identity, has_disconnected)
            raise
        except BaseException:
            request.close()
            raise

    def collect(self, original: StoredRequest, owner: str) -> PendingAnswer:
        """Replay the answer of a request that has ended to `owner`, a user. Raises RateLimited when too many of theirs wait."""
        self.places.attach(owner)
        answer = self.replay.answer(original.id)
        return self._attach_task(original.id, original.aliased_model, (), original.stream, answer, owner)

    def note_refusal(
        self, request_id: str, grant: Grant, error: GatewayError, operation: Operation, model: str | None = None
    ) -> None:
        """Notify the listeners of a refusal after authentication, outside of `submit`. `model` is None for an unread body."""
        event = RequestRefused(
            request_id=request_id,
            api_key_id=grant.key_id,
            user_id=grant.user_id,
            project_id=grant.project_id,
            operation=operation,
            model=model,
            status=error.status,
            code=error.code,
            limit=error.limit,
            message=error.message,
        )
        self._context.listeners.notify(event)

    async def _attach_or_admit(
        self,
        request_id: str,
        grant: Grant,
        request: ImageRequest,
        identity: RequestIdentity,
        has_disconnected: HasDisconnected,
        deferred: bool,
    ) -> PendingAnswer:
        for _ in range(ATTACH_TRIES):
            original = await self.replay.original(grant, identity.retry, identity.fingerprint)
            if original is not None:
                return await self._attach(original, grant, request)
            if identity.retry.serve_duplicate and (served := await self._serve_duplicate(grant, request)):
                return served
            try:
                pending = await self._admit_and_send(request_id, grant, request, identity, has_disconnected, deferred)
            except GatewayError as exc:
                if identity.retry.count > 0:  # A retry for which no original was found.
                    await self._remember_refusal(exc, grant, identity, has_disconnected)
                raise
            if pending is not None:
                return pending
        raise Overloaded(
            "Too many requests with this Idempotency-Key at once; nothing was bought for this one. Try again."
        )

    async def _admit_and_send(
        self,
        request_id: str,
        grant: Grant,
        request: ImageRequest,
        identity: RequestIdentity,
        has_disconnected: HasDisconnected,
        deferred: bool,
    ) -> PendingAnswer | None:
        """Admit and send a request. Return None when another request has taken the idempotency key meanwhile."""
        self.places.take(grant.user_id)
        try:
            self._context.kept_answers.check_room()
            admitted = await self._admission.admit(request_id, grant, request, identity)
            if admitted is None:
                self.places.free(grant.user_id)
                return None
            has_key = identity.retry.idempotency_key is not None
            queue = EventQueue() if request.stream else None
            exchange = Exchange(self._context, admitted, admitted.request, queue, deferred or has_key)
            if not has_key and await self._withdraw(exchange, has_disconnected):
                raise ClientGone
            return self._start(exchange)
        except BaseException:
            self.places.free(grant.user_id)
            raise

    async def _withdraw(self, exchange: Exchange, has_disconnected: HasDisconnected) -> bool:
        """Release the reservation of a client that hung up during admission; it may have retried already. Return False when it has
        to be sent: the client is still there, or its retry has joined this very request."""
        id, tries = exchange.request_id, exchange.admitted.reservation.tries
        try:
            if not await has_disconnected() or not await self.replay.retries.disown(id, tries):
                return False
        except (StoreUnavailable, StorageFull):
            log.warning("a reservation may have been joined, and is given back", request_id=id)
        except BaseException:  # Also a cancellation, by a server that ends the handler of a client that has left.
            exchange.release_unsent(InternalError("The gateway failed; nothing was bought."), "reserved")
            raise
        exchange.release_unsent(StoreUnavailable(UNSENT), "reserved", answered=False)
        return True

    def _start(self, exchange: Exchange) -> PendingAnswer:
        task = self._context.background.start(exchange.run(), awaited=True)
        running, id = self.replay.running, exchange.request_id
        running[id] = task
        task.add_done_callback(lambda _: running.pop(id))
        task.add_done_callback(lambda _: self.places.free(exchange.admitted.reservation.user_id))
        rates, model, deadline = exchange.admitted.rates, exchange.request.aliased_model, self._deadline(task)
        same, notes = exchange.admitted.duplicate_of, self._deliveries
        return PendingAnswer(id, model, rates, False, exchange.queue, exchange.sent, task, deadline, notes, same)

    async def _attach(self, original: str, grant: Grant, request: ImageRequest) -> PendingAnswer:
        """Attach to an original. This spends a request of the rates but no images, and reserves nothing."""
        self.places.attach(grant.user_id)
        try:
            resolved = await self._admission.resolve(request)
            rates = await self._admission.spend_rates(grant, resolved.model, images=0)
        except BaseException:
            self.places.detach(grant.user_id)
            raise
        request.close()
        answer = self.replay.answer(original, resolved)
        return self._attach_task(original, resolved.aliased_model, rates, request.stream, answer, grant.user_id)

    async def _serve_duplicate(self, grant: Grant, request: ImageRequest) -> PendingAnswer | None:
        """Answer with pictures that an equal request bought, which spends a request of the rates. Return None when one is gone."""
        model, resolved = await self._admission.allowed_request(grant, request)
        earlier = await self.duplicates.find(grant, resolved, whole=True)
        if earlier is None:
            return None
        self.places.attach(grant.user_id)
        answer = None
        try:
            rates = await self._admission.spend_rates(grant, model.id, images=0)
            answer = await self.duplicates.answer(earlier, resolved)
        finally:
            if answer is None:
                self.places.detach(grant.user_id)
        if answer is None:
            return None
        request.close()
        self._context.background.start(self.duplicates.note_served(earlier, grant.key_id))
        id, work = earlier.request_id, asyncio.sleep(0, answer)
        pending = self._attach_task(id, resolved.aliased_model, rates, request.stream, work, grant.user_id)
        return replace(pending, duplicate_of=earlier.picture_id, served_duplicate=True)

    def _attach_task(
        self,
        original: str,
        aliased_model: str | None,
        rates: tuple[RateState, ...],
        stream: bool,
        work: Coroutine[Any, Any, BookedAnswer],
        owner: str,
    ) -> PendingAnswer:
        task = self._context.background.start(work, awaited=True)
        task.add_done_callback(lambda _: self.places.detach(owner))
        sent = asyncio.Event()
        sent.set()
        deadline, queue = self._deadline(task), EventQueue() if stream else None
        return PendingAnswer(original, aliased_model, rates, True, queue, sent, task, deadline, self._deliveries)

    def _deadline(self, task: asyncio.Task[BookedAnswer]) -> ClientDeadline:
        deadline = ClientDeadline(task, self._client_deadline_s)
        if self.closed:
            deadline.end(SHUTTING_DOWN)
        else:
            self._deadlines.add(deadline)
            task.add_done_callback(lambda _: self._deadlines.discard(deadline))
        return deadline

    async def _remember_refusal(
        self, refusal: GatewayError, grant: Grant, identity: RequestIdentity, has_disconnected: HasDisconnected
    ) -> None:
        """Record a refusal the client was told to retry, so that its retry buys instead of joining another identical request.

        Nothing is recorded for a client that has hung up: its retry may be over, and the record would apply to another one.
        """
        is_counted = identity.retry.client_counts_retries and identity.retry.idempotency_key is None
        if not refusal.retryable or not is_counted or await has_disconnected():
            return
        writing = self._context.background.start(self._write_refusal(grant, identity), awaited=True)
        # After a failure of the store the client has waited enough.
        if not isinstance(refusal, StoreUnavailable | StorageFull):
            await writing

    async def _write_refusal(self, grant: Grant, identity: RequestIdentity) -> None:
        retries, now_ms = self.replay.retries, self._context.clock.now_ms()
        with suppress(GatewayError, TimeoutError):
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await retries.note_refusal(grant.key_id, identity.fingerprint, identity.retry.count, now_ms)
