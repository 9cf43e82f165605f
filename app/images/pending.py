"""Pending answers: an exchange, or the replay of one, that runs whoever waits for it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from app.errors import GatewayError, UpstreamOutcomeUnknown
from app.images.booking import BookedAnswer
from app.images.refusals import rate_headers
from app.images.replay import DeliveryNotes
from app.images.streaming import EventQueue
from app.rates import RateState
from app.spool import segments_chunks

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": still working\n\n"


class ClientDeadline:
    """End of a client's wait. `over` is done once `task` has ended, `deadline_s` have passed, or `end` was called; its result is
    the reason, empty where the task ended. One for each client: to stop waiting for a future that a thousand share costs a
    look through all of them."""

    def __init__(self, task: "asyncio.Task[Any]", deadline_s: float):
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[str] = loop.create_future()
        self._deadline_s = deadline_s
        self._alarm = loop.call_later(deadline_s, self._pass)
        task.add_done_callback(self._see_the_end)

    def end(self, why: str) -> None:
        """End the wait. Idempotent; the first reason counts."""
        self._alarm.cancel()
        if not self.over.done():
            self.over.set_result(why)

    def _pass(self) -> None:
        self.end(f"{self._deadline_s:.0f} s have passed")

    def _see_the_end(self, _task: "asyncio.Task[Any]") -> None:
        self.end("")


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """Request under way, bought for this client or for one before it. It goes on, whoever waits for it."""

    request_id: str
    """Id of the request that buys: for a replay, the original's."""
    rates: tuple[RateState, ...]
    replayed: bool
    queue: EventQueue | None
    sent: asyncio.Event
    _task: "asyncio.Task[BookedAnswer]"
    _deadline: ClientDeadline
    _deliveries: DeliveryNotes

    async def result(self) -> BookedAnswer:
        """Wait for the booked answer. Raises the GatewayError the exchange ended with, and a 424 after the client's deadline or
        when this process can wait no longer."""
        await self._deadline.over
        if not self._task.done():
            raise self._explained(self._too_late())
        if isinstance(error := self._task.exception(), GatewayError):
            raise self._explained(error)
        return self._task.result()

    async def events(self) -> AsyncGenerator[bytes]:
        """Yield the chunks of a streamed answer, with a comment every 15 s while nothing comes: proxies cut a silent stream. Raises
        as `result` does, at any point."""
        queue = self.queue
        assert queue is not None
        try:
            while True:
                while (chunks := queue.take()) is not None:
                    for chunk in chunks:
                        yield chunk
                if self._deadline.over.done():
                    break
                if not await self._wait(queue):
                    yield KEEP_ALIVE
            booked = await self.result()
            try:
                for chunk in segments_chunks(booked.segments, booked.spool):
                    yield chunk
            finally:
                booked.spool.close()
        finally:
            queue.leave()

    async def wait_until_sent(self) -> None:
        """Wait until it has been sent. Raises the GatewayError it ended with before that."""
        await self.sent.wait()
        if self._task.done():
            await self.result()

    def note_delivery(self) -> None:
        """Note that the last byte was handed over to a client that was still there."""
        self._deliveries.add(self.request_id)

    async def _wait(self, queue: EventQueue) -> bool:
        """Wait for a frame or the end. False after KEEP_ALIVE_S without either."""
        arrived = asyncio.ensure_future(queue.arrived())
        ends: set[asyncio.Future[Any]] = {self._deadline.over, arrived}
        try:
            done, _ = await asyncio.wait(ends, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()
        return bool(done)

    def _too_late(self) -> GatewayError:
        return UpstreamOutcomeUnknown(
            f"{self._deadline.over.result()} without an answer. The request goes on and may be charged, so do not send it again; "
            f"once it has ended, its answer can be fetched from /v1/images/requests/{self.request_id}/result."
        )

    def _explained(self, error: GatewayError) -> GatewayError:
        """Copy an error with the rates of this client: others may wait for the same exchange."""
        explained = error.copy()
        explained.headers = rate_headers(self.rates) | error.headers
        return explained
