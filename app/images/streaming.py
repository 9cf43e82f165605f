"""Streamed answers: stored as they come, like plain ones, while their events go to the client.

The event that completes the request is held back until it is booked: whoever has the picture has paid for it.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from app.core.request import ImageRequest
from app.images.booking import CompleteAnswer
from app.spool import Segments, Spool, segments_chunks, whole
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer
from app.upstream.events import ClientEvent, EventConverter, EventReader
from app.upstream.images import Images, merge_images

PARTIALS_MAX = 8
"""Most partial images that wait for a slow client; more are dropped, since they are a courtesy."""
NO_IMAGE = "The upstream's stream ended without an image."


class EventQueue:
    """Frames on their way from an exchange to one client. The exchange never waits for the client: pictures lie in the spool,
    and only their places are queued."""

    def __init__(self) -> None:
        self.is_left = False
        self._frames: deque[tuple[Segments, Spool]] = deque()
        self._arrived = asyncio.Event()
        self._spool: Spool | None = None

    def send(self, frame: Segments, spool: Spool, *, droppable: bool) -> None:
        """Queue a frame whose pictures lie in `spool`. Dropped after the client has left, and where `droppable` ones pile up."""
        if self.is_left or (droppable and len(self._frames) >= PARTIALS_MAX):
            return
        self._frames.append((frame, spool))
        self._arrived.set()

    async def arrived(self) -> None:
        """Wait until a frame is there."""
        await self._arrived.wait()

    def take(self) -> Iterator[bytes] | None:
        """Take the next frame, as chunks; None where there is none."""
        if not self._frames:
            return None
        frame, spool = self._frames.popleft()
        if not self._frames:
            self._arrived.clear()
        return segments_chunks(frame, spool)

    def hand_over(self, spool: Spool) -> None:
        """Close `spool` once the client has read what is queued, or has left."""
        self._spool = spool
        if self.is_left:
            spool.close()

    def leave(self) -> None:
        """Stop listening. Idempotent."""
        self.is_left = True
        self._frames.clear()
        if self._spool is not None:
            self._spool.close()


@dataclass(slots=True)
class StreamedAnswer:
    """Bytes of an answer in their spool and, where it is a stream of events, the images that are complete so far."""

    spool: Spool
    request: ImageRequest
    created_s: int
    bytes_max: int
    queue: EventQueue | None
    completed: list[ClientEvent] = field(default_factory=list)

    async def read(self, answer: Answer) -> CompleteAnswer | Verdict:
        """Pass events on until the last image is complete. Raises Broken when the stream is cut and OSError when the disk is full;
        `complete_part` then tells what had come."""
        reader, converter = EventReader(), EventConverter(self.request, self.created_s)
        async for chunk in answer.chunks():
            if self.spool.size_bytes + len(chunk) > self.bytes_max:
                return self.complete_part() or unknown(f"The upstream's answer is larger than {self.bytes_max} bytes.")
            self.spool.write(chunk)
            for event in reader.feed(chunk):
                if (outcome := self._take(converter.convert(event))) is not None:
                    return outcome
        for event in reader.finish():
            if (outcome := self._take(converter.convert(event))) is not None:
                return outcome
        return self.complete_part() or unknown(NO_IMAGE)

    def complete_part(self) -> CompleteAnswer | None:
        """Make an answer of the images that were complete when the stream ended too soon: the client has them."""
        return self._complete([]) if self.completed else None

    def keep(self) -> None:
        """Put what came into the named file and sync it. Raises OSError."""
        self.spool.keep()
        self.spool.sync()

    def close(self) -> None:
        """Close the spool, now or once the client has read what is queued."""
        if self.queue is None:
            self.spool.close()
        else:
            self.queue.hand_over(self.spool)

    def _take(self, shaped: ClientEvent | None) -> CompleteAnswer | Verdict | None:
        """Queue an event; returns the outcome where the event brings one."""
        if shaped is None:
            return None
        if shaped.images is not None:
            self.completed.append(shaped)
        if len(self.completed) == self.request.n:
            return self._complete(shaped.frame)
        if shaped.kind == "error" and shaped.images is None:
            assert shaped.error is not None
            return self.complete_part() or Verdict("unknown", shaped.error)
        if shaped.frame and self.queue is not None:
            self.queue.send(shaped.frame, self.spool, droppable=shaped.kind == "partial")
        return None

    def _complete(self, unsent: Segments) -> CompleteAnswer:
        images = [shaped.images for shaped in self.completed if shaped.images is not None]
        return CompleteAnswer(merge_images(images, self.request.n), unsent, self.spool)


def read_stored_events(spool: Spool, request: ImageRequest, created_s: int) -> CompleteAnswer | None:
    """Read a stored stream again; None where no image in it is complete. Its segments are the completed events."""
    reader, converter = EventReader(), EventConverter(request, created_s)
    completed: list[Images] = []
    segments: Segments = []
    for chunk in whole(spool):
        for event in reader.feed(chunk):
            shaped = converter.convert(event)
            if shaped is not None and shaped.images is not None and len(completed) < request.n:
                completed.append(shaped.images)
                segments += shaped.frame
    return CompleteAnswer(merge_images(completed, request.n), segments, spool) if completed else None
