"""What a client waits for: an exchange, or the replay of one, that runs whoever waits for it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app.errors import GatewayError, UpstreamOutcomeUnknown
from app.images.booking import BookedAnswer
from app.images.channel import Channel
from app.images.client_deadline import ClientDeadline
from app.images.delivery import client_events
from app.images.refusals import rate_headers
from app.images.replay import Deliveries
from app.rates import RateState


@dataclass(frozen=True, slots=True)
class PendingAnswer:
    """A request under way, bought for this client or for one before it; it goes on, whoever waits for it."""

    request_id: str
    """Of the request that buys: for a replay, the original's."""
    rates: tuple[RateState, ...]
    replayed: bool
    channel: Channel | None
    sent: asyncio.Event
    _task: "asyncio.Task[BookedAnswer]"
    _patience: ClientDeadline
    _deliveries: Deliveries

    async def bought(self) -> BookedAnswer:
        """The booked answer. Raises the GatewayError the exchange ended with, and a 424 after the client's deadline or when this
        process can wait no longer."""
        await self._patience.over
        if not self._task.done():
            raise self._explained(self._too_late())
        if isinstance(error := self._task.exception(), GatewayError):
            raise self._explained(error)
        return self._task.result()

    async def events(self) -> AsyncGenerator[bytes]:
        """The frames of a streamed answer. Raises as `bought` does, at any point."""
        assert self.channel is not None
        try:
            async for frame in client_events(self._task, self._patience, self.channel):
                yield frame
        except GatewayError as exc:
            raise self._explained(exc) from None
        except TimeoutError:
            raise self._explained(self._too_late()) from None

    async def accepted(self) -> None:
        """Wait until it has been sent. Raises the GatewayError it ended with before that."""
        await self.sent.wait()
        if self._task.done():
            await self.bought()

    def delivered(self) -> None:
        """The last byte was handed over to a client that was still there."""
        self._deliveries.note(self.request_id)

    def _too_late(self) -> GatewayError:
        return UpstreamOutcomeUnknown(
            f"{self._patience.over.result()} without an answer. The request goes on and may be charged, so do not send it again; "
            f"once it has ended, its answer can be fetched from /v1/images/requests/{self.request_id}/result."
        )

    def _explained(self, error: GatewayError) -> GatewayError:
        """A copy, with the rates of this client: others may wait for the same exchange."""
        explained = error.copy()
        explained.headers = rate_headers(self.rates) | error.headers
        return explained
