"""Streamed answers: their bytes are stored as plain answers are, while their events go to the client.

The last event is held back until the request is booked, so that no client gets its images unpaid.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from app.core.request import ImageRequest
from app.images.booking import CompleteAnswer
from app.spool import Segments, Spool, segments_chunks, whole
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer
from app.upstream.events import ClientEvent, Event, EventConverter, EventReader
from app.upstream.images import merge_images

PARTIALS_MAX = 8
"""Most partial images that are queued for a slow client; later ones are dropped, because they are only a preview."""
NO_IMAGE = "The upstream's stream ended without an image."


class EventQueue:
    """Queue of event frames from an exchange to one client. The exchange never waits for the client: images lie in the spool, and
    only their offsets are queued."""

    def __init__(self) -> None:
        self.client_left = False
        self._frames: deque[tuple[Segments, Spool]] = deque()
        self._arrived = asyncio.Event()
        self._spool: Spool | None = None

    def send(self, frame: Segments, spool: Spool, *, droppable: bool) -> None:
        """Queue a frame whose images lie in `spool`. It is dropped once the client has left, and when it is `droppable` and the
        queue is full."""
        if self.client_left or (droppable and len(self._frames) >= PARTIALS_MAX):
            return
        self._frames.append((frame, spool))
        self._arrived.set()

    async def arrived(self) -> None:
        """Wait until a frame is queued."""
        await self._arrived.wait()

    def take(self) -> Iterator[bytes] | None:
        """Remove the next frame and return its chunks; None when the queue is empty."""
        if not self._frames:
            return None
        frame, spool = self._frames.popleft()
        if not self._frames:
            self._arrived.clear()
        return segments_chunks(frame, spool)

    def hand_over(self, spool: Spool) -> None:
        """Close `spool` once the client has read what is queued, or has left."""
        self._spool = spool
        if self.client_left:
            spool.close()

    def leave(self) -> None:
        """Drop all frames, queued and later ones: the client has left. Idempotent."""
        self.client_left = True
        self._frames.clear()
        if self._spool is not None:
            self._spool.close()


@dataclass(slots=True)
class StreamedAnswer:
    """Answer that is being received: its bytes in `spool` and, for a stream of events, the images completed so far."""

    spool: Spool
    request: ImageRequest
    created_s: int
    bytes_max: int
    queue: EventQueue | None
    completed: list[ClientEvent] = field(default_factory=list)
    _reader: EventReader = field(default_factory=EventReader, init=False)
    _converter: EventConverter = field(init=False)

    def __post_init__(self) -> None:
        self._converter = EventConverter(self.request, self.created_s)

    async def read(self, answer: Answer) -> CompleteAnswer | Verdict:
        """Queue events for the client until the last image is complete. Raises Broken when the stream is cut and OSError when the
        disk is full; `answer_so_far` then returns the images received before."""
        async for chunk in answer.chunks():
            if self.spool.size_bytes + len(chunk) > self.bytes_max:
                return self.answer_so_far() or unknown(f"The upstream's answer is larger than {self.bytes_max} bytes.")
            self.spool.write(chunk)
            if (outcome := self._take_all(self._reader.feed(chunk))) is not None:
                return outcome
        return self._end() or unknown(NO_IMAGE)

    def read_again(self) -> CompleteAnswer | None:
        """Parse the stored stream as far as `read` parsed it. Return None when no image in it is complete. The segments of the
        answer are the completed events."""
        outcome: CompleteAnswer | Verdict | None = None
        for chunk in whole(self.spool):
            if (outcome := self._take_all(self._reader.feed(chunk))) is not None:
                break
        answer = outcome or self._end()
        if not isinstance(answer, CompleteAnswer):
            return None
        return replace(answer, segments=[piece for event in self.completed for piece in event.frame])

    def answer_so_far(self) -> CompleteAnswer | None:
        """Make an answer of the images that were complete when the stream ended early; None when there are none. The client has
        received them already, except for one whose event lacks the empty line after it: the answer holds that one."""
        outcome = self._end()
        return outcome if isinstance(outcome, CompleteAnswer) else None

    def keep(self) -> None:
        """Write all received bytes to the named file and fsync it. Raises OSError."""
        self.spool.keep()
        self.spool.sync()

    def close(self) -> None:
        """Close the spool, at once or when the client has read its queue."""
        if self.queue is None:
            self.spool.close()
        else:
            self.queue.hand_over(self.spool)

    def _end(self) -> CompleteAnswer | Verdict | None:
        """Queue the last event, which may lack the empty line after it. Return the outcome of a stream that ends here."""
        return self._take_all(self._reader.finish()) or self._complete_so_far()

    def _take_all(self, events: list[Event]) -> CompleteAnswer | Verdict | None:
        """Queue events up to the one that ends the answer. Return the outcome, or None."""
        for event in events:
            if (outcome := self._take(self._converter.convert(event))) is not None:
                return outcome
        return None

    def _take(self, event: ClientEvent | None) -> CompleteAnswer | Verdict | None:
        """Queue an event. Return the outcome when this event ends the answer, else None."""
        if event is None:
            return None
        if event.images is not None:
            self.completed.append(event)
        if len(self.completed) == self.request.n:
            return self._complete(event.frame)
        if event.verdict is not None:
            return self._complete_so_far() or event.verdict
        if event.frame and self.queue is not None:
            self.queue.send(event.frame, self.spool, droppable=event.kind == "partial")
        return None

    def _complete_so_far(self) -> CompleteAnswer | None:
        return self._complete([]) if self.completed else None

    def _complete(self, unsent: Segments) -> CompleteAnswer:
        images = [event.images for event in self.completed if event.images is not None]
        return CompleteAnswer(merge_images(images, self.request.n), unsent, self.spool)


def read_stored_events(spool: Spool, request: ImageRequest, created_s: int) -> CompleteAnswer | None:
    """Parse a stored stream again, as `StreamedAnswer.read_again` does."""
    return StreamedAnswer(spool, request, created_s, spool.size_bytes, None).read_again()
