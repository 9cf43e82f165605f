"""Pending answers: a client's view of an exchange, or of its replay, which goes on when the client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
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
    """Deadline of one client's wait. `ended` is done once `task` has ended, `deadline_s` have passed, or `end` was called; its
    result is the reason, empty when the task ended. Each client has its own future: removing one waiter from a future that a
    thousand share means a search through all of them."""

    def __init__(self, task: "asyncio.Task[Any]", deadline_s: float):
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = loop.create_future()
        self._deadline_s = deadline_s
        self._timer = loop.call_later(deadline_s, self._expire)
        task.add_done_callback(self._task_ended)

    def end(self, why: str) -> None:
        """End the wait. Idempotent; the first reason counts."""
        self._timer.cancel()
        if not self.ended.done():
            self.ended.set_result(why)

    def _expire(self) -> None:
        self.end(f"{self._deadline_s:.0f} s have passed")

    def _task_ended(self, _task: "asyncio.Task[Any]") -> None:
        self.end("")


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """Answer that is not there yet, bought for this client or for an earlier one. Its task goes on without the client."""

    request_id: str
    """Id of the request that is booked: for a replay, the original's."""
    aliased_model: str | None
    """Model that an alias stands for; None when the client named the model itself."""
    rates: tuple[RateState, ...]
    replayed: bool
    queue: EventQueue | None
    sent: asyncio.Event
    _task: "asyncio.Task[BookedAnswer]"
    _deadline: ClientDeadline
    _deliveries: DeliveryNotes
    duplicate_of: str | None = None
    """Kept picture that its user bought by an equal request before."""
    served_duplicate: bool = False
    """True when the answer is made of the pictures of that request, and nothing was bought."""

    async def result(self) -> BookedAnswer:
        """Wait for the booked answer. Raises the GatewayError the exchange ended with, and UpstreamOutcomeUnknown after the
        client's deadline or when this process shuts down."""
        await self._deadline.ended
        if not self._task.done():
            raise self._with_rate_headers(self._too_late())
        if isinstance(error := self._task.exception(), GatewayError):
            raise self._with_rate_headers(error)
        return self._task.result()

    async def events(self, convert: Callable[[BookedAnswer], Awaitable[BookedAnswer]]) -> AsyncGenerator[bytes]:
        """Yield the chunks of a streamed answer, with a comment after each 15 s of silence, because proxies cut a silent stream.
        `convert` changes the form of what was held back until the booking. Raises as `result` does, at any point."""
        queue = self.queue
        assert queue is not None
        try:
            while True:
                while (chunks := queue.take()) is not None:
                    for chunk in chunks:
                        yield chunk
                if self._deadline.ended.done():
                    break
                if not await self._wait(queue):
                    yield KEEP_ALIVE
            conversion = asyncio.ensure_future(convert(await self.result()))
            while not (await asyncio.wait({conversion}, timeout=KEEP_ALIVE_S))[0]:
                yield KEEP_ALIVE
            booked = conversion.result()
            try:
                for chunk in segments_chunks(booked.segments, booked.spool):
                    yield chunk
            finally:
                booked.spool.close()
        finally:
            queue.leave()

    async def wait_until_sent(self) -> None:
        """Wait until the request has been sent. Raises the GatewayError it ended with before that."""
        await self.sent.wait()
        if self._task.done():
            await self.result()

    def note_delivery(self) -> None:
        """Record that a connected client has received the last byte. A served duplicate is not the answer that a retry of the
        earlier request waits for."""
        if not self.served_duplicate:
            self._deliveries.add(self.request_id)

    async def _wait(self, queue: EventQueue) -> bool:
        """Wait for a frame or the end. Return False after KEEP_ALIVE_S without either."""
        arrived = asyncio.ensure_future(queue.arrived())
        ends: set[asyncio.Future[Any]] = {self._deadline.ended, arrived}
        try:
            done, _ = await asyncio.wait(ends, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrived.cancel()
        return bool(done)

    def _too_late(self) -> GatewayError:
        return UpstreamOutcomeUnknown(
            f"{self._deadline.ended.result()} without an answer. The request goes on and may be charged, so do not send it again; "
            f"once it has ended, its answer can be fetched from /v1/images/requests/{self.request_id}/result."
        )

    def _with_rate_headers(self, error: GatewayError) -> GatewayError:
        """Copy an error with the rates of this client: others may wait for the same exchange."""
        copied = error.copy()
        copied.headers = rate_headers(self.rates) | error.headers
        return copied
