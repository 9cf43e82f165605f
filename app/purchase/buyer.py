"""The way of one image request: seen before? admitted? then an exchange that outlives the client who asked for it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from app.core.fingerprint import fingerprint
from app.core.grants import Grant
from app.core.request import ImageRequest
from app.core.retry import Retry
from app.errors import Draining, GatewayError, Overloaded, StorageFull, StoreUnavailable
from app.purchase.admission import Admission, Admitted, Identity
from app.purchase.booking import Bought
from app.purchase.channel import Channel
from app.purchase.delivery import client_events
from app.purchase.exchange import Exchange, Parts, too_late
from app.purchase.refusals import rate_headers
from app.purchase.replay import Deliveries, Replay
from app.rates import RateState
from app.store.originals import Original

BUSY_RETRY_AFTER_S = 5
DRAIN_RETRY_AFTER_S = 2
ATTACH_TRIES = 5


@dataclass(frozen=True, slots=True)
class Purchase:
    """A request under way, bought for this client or for one before it; it goes on, whoever waits for it."""

    request_id: str
    """Of the request that buys: for a replay, the original's."""
    rates: tuple[RateState, ...]
    replayed: bool
    deadline_s: float
    channel: Channel | None
    sent: asyncio.Event
    _task: "asyncio.Task[Bought]"
    _closing: "asyncio.Future[None]"
    _deliveries: Deliveries

    async def bought(self) -> Bought:
        """The booked answer. Raises the GatewayError the exchange ended with, and a 424 after the client's deadline or when this
        process can wait no longer."""
        ends: set[asyncio.Future[Any]] = {self._task, self._closing}
        await asyncio.wait(ends, timeout=self.deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if not self._task.done():
            raise self._explained(too_late(self.deadline_s))
        try:
            return self._task.result()
        except GatewayError as exc:
            raise self._explained(exc) from None

    async def events(self) -> AsyncGenerator[bytes]:
        """The frames of a streamed answer. Raises as `bought` does, at any point."""
        assert self.channel is not None
        try:
            async for frame in client_events(self._task, self._closing, self.channel, self.deadline_s):
                yield frame
        except GatewayError as exc:
            raise self._explained(exc) from None
        except TimeoutError:
            raise self._explained(too_late(self.deadline_s)) from None

    async def accepted(self) -> None:
        """Wait until it has been sent. Raises the GatewayError it ended with before that."""
        await self.sent.wait()
        if self._task.done():
            await self.bought()

    def delivered(self) -> None:
        """The last byte was handed over to a client that was still there."""
        self._deliveries.note(self.request_id)

    def _explained(self, error: GatewayError) -> GatewayError:
        error.headers = rate_headers(self.rates) | error.headers
        return error


class Buyer:
    """Lets at most `in_flight_max` requests into this process at once, and none once it drains."""

    def __init__(
        self,
        admission: Admission,
        parts: Parts,
        replay: Replay,
        deliveries: Deliveries,
        in_flight_max: int,
        client_deadline_s: float,
    ):
        self._admission = admission
        self._parts = parts
        self.replay = replay
        self._deliveries = deliveries
        self._in_flight_max = in_flight_max
        self._client_deadline_s = client_deadline_s
        self._in_flight = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.draining = False

    @property
    def in_flight(self) -> int:
        return self._in_flight

    async def emptied(self) -> None:
        """Wait until nothing is in flight."""
        await self._empty.wait()

    def close(self) -> None:
        """Let go of the clients that still wait: the process ends, and what it could not finish is recovered. Idempotent."""
        if not self._closing.done():
            self._closing.set_result(None)

    @property
    def closed(self) -> bool:
        return self._closing.done()

    async def buy(
        self, request_id: str, grant: Grant, wanted: ImageRequest, retry: Retry, *, collected: bool = False
    ) -> Purchase:
        """Attach to the same request before this one, or admit `wanted` and send it. Raises the refusal.

        `wanted` is closed in any case, now or by its exchange. `collected`: the client will come for the answer later.
        """
        identity = Identity(retry, fingerprint(wanted))
        try:
            self._let_in()
            try:
                return await self._attach_or_buy(request_id, grant, wanted, identity, collected)
            except BaseException:
                self._let_out()
                raise
        except GatewayError as exc:
            wanted.close()
            if retry.count == 0:
                await self._note(exc, grant, identity)
            raise
        except BaseException:
            wanted.close()
            raise

    def collect(self, original: Original) -> Purchase:
        """The answer of a request that has ended, for its owner."""
        answer = self.replay.answer(original.id)
        self._count()
        return self._start(original.id, (), Channel() if original.stream else None, _set(), answer, replayed=True)

    def _let_in(self) -> None:
        if self.draining:
            message = "This gateway is shutting down; nothing was bought. Try again: another one takes over."
            raise Draining(message, retry_after_s=DRAIN_RETRY_AFTER_S)
        if self._in_flight >= self._in_flight_max:
            message = (
                f"This gateway works on {self._in_flight_max} images already; nothing was bought. Try again shortly."
            )
            raise Overloaded(message, retry_after_s=BUSY_RETRY_AFTER_S)
        self._count()

    def _count(self) -> None:
        self._in_flight += 1
        self._empty.clear()

    def _let_out(self, _task: object = None) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._empty.set()

    async def _attach_or_buy(
        self, request_id: str, grant: Grant, wanted: ImageRequest, identity: Identity, collected: bool
    ) -> Purchase:
        for _ in range(ATTACH_TRIES):
            original = await self.replay.original(grant, identity.retry, identity.fingerprint)
            if original is not None:
                return await self._attach(original, grant, wanted)
            try:
                self._parts.results.check_room()
                admitted = await self._admission.admit(request_id, grant, wanted, identity)
            except GatewayError as exc:
                if identity.retry.count > 0:  # It has looked for its original by now, and there is none.
                    await self._note(exc, grant, identity)
                raise
            if admitted is not None:
                return self._send(admitted, wanted, expected=collected or identity.retry.key is not None)
        raise Overloaded(
            "Too many requests with this Idempotency-Key at once; nothing was bought for this one. Try again."
        )

    async def _attach(self, original: str, grant: Grant, wanted: ImageRequest) -> Purchase:
        """Counts as a request in the rates, not as images, and holds nothing."""
        rates = await self._admission.spend_rates(grant, wanted.model, images=0)
        wanted.close()
        answer = self.replay.answer(original, wanted)
        return self._start(original, rates, Channel() if wanted.stream else None, _set(), answer, replayed=True)

    def _send(self, admitted: Admitted, wanted: ImageRequest, *, expected: bool) -> Purchase:
        channel, id = Channel() if wanted.stream else None, admitted.order.request_id
        exchange = Exchange(self._parts, admitted, wanted, channel, expected)
        purchase = self._start(id, admitted.rates, channel, exchange.sent, exchange.run(), replayed=False)
        running = self.replay.running
        running[id] = purchase._task
        purchase._task.add_done_callback(lambda _: running.pop(id))
        return purchase

    def _start(
        self,
        request_id: str,
        rates: tuple[RateState, ...],
        channel: Channel | None,
        sent: asyncio.Event,
        work: Coroutine[Any, Any, Bought],
        *,
        replayed: bool,
    ) -> Purchase:
        task = self._parts.background.start(work, awaited=True)
        task.add_done_callback(self._let_out)
        return Purchase(
            request_id, rates, replayed, self._client_deadline_s, channel, sent, task, self._closing, self._deliveries
        )

    async def _note(self, refusal: GatewayError, grant: Grant, identity: Identity) -> None:
        """A client that will try again because of us must not be given somebody else's picture then."""
        if not refusal.retryable or identity.retry.key is not None:
            return
        now_ms = self._parts.clock.now_ms()
        note = self.replay.retries.note_refusal(grant.key_id, identity.fingerprint, identity.retry.count, now_ms)
        writing = self._parts.background.start(note, awaited=True)
        if not isinstance(refusal, StoreUnavailable | StorageFull):  # Those who were refused for it have waited enough.
            with suppress(GatewayError):
                await writing


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event
