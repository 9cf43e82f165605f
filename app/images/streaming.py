"""Streamed answers: events go to the client as they come, and are read for the books on the way.

The event that completes the request is held back until it is booked: whoever has the picture has paid for it. Stored are the
completed events, for whoever asks again.
"""

import asyncio
from collections.abc import AsyncIterator

from app.core.request import ImageRequest
from app.images.booking import CompleteAnswer
from app.spool import Segments, Spool
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer
from app.upstream.events import EventReader, EventShaper, Shaped
from app.upstream.images import Images, together

EVENTS_MAX = 2
SLOW_CLIENT_S = 60.0


class EventQueue:
    """From an exchange to one client. The exchange never waits for a client that has left."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[bytes] = asyncio.Queue(EVENTS_MAX)
        self._left = False

    async def send(self, frame: bytes) -> None:
        """Hand an event over. A client that takes none for a minute counts as gone."""
        if self._left:
            return
        try:
            async with asyncio.timeout(SLOW_CLIENT_S):
                await self._events.put(frame)
        except TimeoutError:
            self.leave()

    async def receive(self) -> bytes:
        """The next event."""
        return await self._events.get()

    def leave(self) -> None:
        """Nobody listens any more. Idempotent."""
        self._left = True
        while not self._events.empty():
            self._events.get_nowait()


NO_IMAGE = "The upstream's stream ended without an image."


async def read_events(
    answer: Answer, spool: Spool, wanted: ImageRequest, created_s: int, queue: EventQueue, completed: list[Images]
) -> CompleteAnswer | Verdict:
    """Pass events on until the last image is complete; `completed` fills on the way. Raises Broken when the stream is cut."""
    async for shaped in _shaped(answer, wanted, created_s):
        if shaped.images is not None:
            completed.append(shaped.images)
            spool.write(shaped.frame)
        if len(completed) == wanted.n:
            return complete_answer(completed, [shaped.frame], spool, wanted)
        if shaped.kind == "error" and shaped.images is None:
            assert shaped.error is not None
            return complete_answer(completed, [], spool, wanted) if completed else Verdict("unknown", shaped.error)
        if shaped.frame:
            await queue.send(shaped.frame)
    return complete_answer(completed, [], spool, wanted) if completed else unknown(NO_IMAGE)


def complete_answer(completed: list[Images], last: Segments, spool: Spool, wanted: ImageRequest) -> CompleteAnswer:
    """What a stream has brought; `last` is what the client still gets of it."""
    return CompleteAnswer(together(completed, wanted.n), last, spool)


async def _shaped(answer: Answer, wanted: ImageRequest, created_s: int) -> AsyncIterator[Shaped]:
    reader, shaper = EventReader(), EventShaper(wanted, created_s)
    async for chunk in answer.chunks():
        for event in reader.feed(chunk):
            if (shaped := shaper.shape(event)) is not None:
                yield shaped
    for event in reader.finish():
        if (shaped := shaper.shape(event)) is not None:
            yield shaped
