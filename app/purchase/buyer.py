"""The way of one image request: admission, then an exchange that outlives the client who asked for it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app.core.grants import Grant
from app.core.request import ImageRequest
from app.errors import Draining, GatewayError, Overloaded
from app.purchase.admission import Admission, Admitted
from app.purchase.channel import Channel
from app.purchase.delivery import client_events
from app.purchase.exchange import Bought, Exchange, Parts, too_late
from app.purchase.refusals import rate_headers

BUSY_RETRY_AFTER_S = 5
DRAIN_RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Purchase:
    """A request that was admitted; its exchange runs, whoever waits for it."""

    admitted: Admitted
    channel: Channel | None
    deadline_s: float
    _task: "asyncio.Task[Bought]"

    async def bought(self) -> Bought:
        """The booked answer. Raises the GatewayError the exchange ended with, and a 424 after the client's deadline."""
        done, _ = await asyncio.wait({self._task}, timeout=self.deadline_s)
        if not done:
            raise self._explained(too_late(self.deadline_s))
        try:
            return self._task.result()
        except GatewayError as exc:
            raise self._explained(exc) from None

    async def events(self) -> AsyncGenerator[bytes]:
        """The frames of a streamed answer. Raises as `bought` does, at any point."""
        assert self.channel is not None
        try:
            async for frame in client_events(self._task, self.channel, self.deadline_s):
                yield frame
        except GatewayError as exc:
            raise self._explained(exc) from None
        except TimeoutError:
            raise self._explained(too_late(self.deadline_s)) from None

    def _explained(self, error: GatewayError) -> GatewayError:
        error.headers = rate_headers(self.admitted.rates) | error.headers
        return error


class Buyer:
    """Lets at most `in_flight_max` requests into this process at once, and none once it drains."""

    def __init__(self, admission: Admission, parts: Parts, *, in_flight_max: int, client_deadline_s: float):
        self._admission = admission
        self._parts = parts
        self._in_flight_max = in_flight_max
        self._client_deadline_s = client_deadline_s
        self._in_flight = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self.draining = False

    @property
    def in_flight(self) -> int:
        return self._in_flight

    async def emptied(self) -> None:
        """Wait until nothing is in flight."""
        await self._empty.wait()

    async def buy(self, request_id: str, grant: Grant, wanted: ImageRequest) -> Purchase:
        """Admit `wanted` and send it. Raises the refusal; `wanted` is closed in any case, now or by its exchange."""
        try:
            self._let_in()
            try:
                admitted = await self._admission.admit(request_id, grant, wanted)
            except BaseException:
                self._let_out()
                raise
        except BaseException:
            wanted.close()
            raise
        return self._start(admitted, wanted)

    def _let_in(self) -> None:
        if self.draining:
            message = "This gateway is shutting down; nothing was bought. Try again: another one takes over."
            raise Draining(message, retry_after_s=DRAIN_RETRY_AFTER_S)
        if self._in_flight >= self._in_flight_max:
            message = (
                f"This gateway works on {self._in_flight_max} images already; nothing was bought. Try again shortly."
            )
            raise Overloaded(message, retry_after_s=BUSY_RETRY_AFTER_S)
        self._in_flight += 1
        self._empty.clear()

    def _start(self, admitted: Admitted, wanted: ImageRequest) -> Purchase:
        channel = Channel() if wanted.stream else None
        exchange = Exchange(self._parts, admitted, wanted, channel)
        task = self._parts.background.start(exchange.run(), awaited=True)
        task.add_done_callback(self._let_out)
        return Purchase(admitted, channel, self._client_deadline_s, task)

    def _let_out(self, _task: object = None) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._empty.set()
