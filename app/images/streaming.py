"""Answers while they are received: their bytes are stored and parsed and, of a stream, their events go to the client.

The last event is held back until the request is booked, so that no client gets its images unpaid.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from app.core.request import ImageRequest
from app.images.booking import CompleteAnswer
from app.spool import Segments, Spool, segments_chunks, whole
from app.upstream.answer import completed_events, images_response
from app.upstream.classify import Verdict, classify_refusal, unknown
from app.upstream.client import Answer
from app.upstream.events import ClientEvent, Event, EventConverter, EventReader
from app.upstream.images import Images, merge_images, read_images
from app.upstream.preamble import Preamble
from app.upstream.skeleton import MalformedAnswer, Skeleton

PARTIALS_MAX = 8
"""Most partial images that are queued for a slow client; later ones are dropped, because they are only a preview."""
MORE_IMAGES_S = 5.0
"""Seconds that a stream without `[DONE]` stays open for more images than were asked for."""
NO_IMAGE = "The upstream's answer ended without an image."


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
class ReceivedAnswer:
    """Answer that is being received: its bytes in `spool` and, for a stream of events, the images completed so far.

    Whether it is events or JSON is decided by its first byte. Its labels do not count: relays get them wrong.
    """

    spool: Spool
    request: ImageRequest
    created_s: int
    bytes_max: int
    queue: EventQueue | None
    completed: list[ClientEvent] = field(default_factory=list)
    _held: Segments = field(default_factory=list, init=False)
    """Frames that are sent when the request is booked: that of the last image, once there are as many as were asked for, and all
    from the first link on, because what links lead to is fetched then."""
    _has_links: bool = field(default=False, init=False)
    _preamble: Preamble = field(default_factory=Preamble, init=False)
    _skeleton: Skeleton | None = field(default=None, init=False)
    _reader: EventReader = field(default_factory=EventReader, init=False)
    _converter: EventConverter = field(init=False)

    def __post_init__(self) -> None:
        self._converter = EventConverter(self.request, self.created_s)

    async def read(self, answer: Answer) -> CompleteAnswer | Verdict:
        """Read a 200 to its end and queue its events for the client. Raises Broken when it is cut and OSError when the disk is
        full; `answer_so_far` then returns the images received before.

        A stream ends with its `[DONE]`, with its last byte, or MORE_IMAGES_S after its last image when all are there.
        """
        try:
            async with asyncio.timeout(None) as more:
                async for chunk in answer.chunks():
                    if self.spool.size_bytes + len(chunk) > self.bytes_max:
                        too_large = f"The upstream's answer is larger than {self.bytes_max} bytes."
                        return self.answer_so_far() or unknown(too_large)
                    self.spool.write(chunk)
                    had = len(self.completed)
                    if (outcome := self._feed(chunk)) is not None:
                        return outcome
                    if len(self.completed) > had and len(self.completed) >= self.request.n:
                        more.reschedule(asyncio.get_running_loop().time() + MORE_IMAGES_S)
        except TimeoutError:
            if not more.expired():
                raise
        return self._end()

    def read_again(self) -> CompleteAnswer | None:
        """Parse the stored answer as far as `read` parsed it. Return None when no image in it is complete. The segments of a stream
        are its completed events."""
        outcome: CompleteAnswer | Verdict | None = None
        for chunk in whole(self.spool):
            if (outcome := self._feed(chunk)) is not None:
                break
        answer = outcome or self._end()
        if not isinstance(answer, CompleteAnswer):
            return None
        if self._skeleton is not None:
            return answer
        return replace(answer, segments=[piece for event in self.completed for piece in event.frame])

    def answer_so_far(self) -> CompleteAnswer | None:
        """Make an answer of the images that were complete when the answer ended early; None when there are none. The client of a
        stream has received them already, except for what the answer holds."""
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

    def _feed(self, chunk: bytes) -> CompleteAnswer | Verdict | None:
        """Parse the next bytes. Return the outcome when they end the answer, else None."""
        body = self._preamble.feed(chunk)
        if self._preamble.kind == "page":
            return classify_refusal(200, "text/html", b"", None)
        if self._skeleton is None and self._preamble.kind != "json" and self.request.stream:
            return self._take_all(self._reader.feed(chunk))
        if body:
            self._skeleton = self._skeleton or Skeleton(self._preamble.skipped_bytes)
            self._skeleton.feed(body)
        return None

    def _end(self) -> CompleteAnswer | Verdict:
        """Return the outcome of an answer that ends here. The last event of a stream may lack the empty line after it."""
        if self._skeleton is not None:
            return self._checked(self._skeleton)
        return self._take_all(self._reader.finish()) or self._complete_so_far() or unknown(NO_IMAGE)

    def _checked(self, skeleton: Skeleton) -> CompleteAnswer | Verdict:
        try:
            document = skeleton.document()
        except MalformedAnswer:
            return unknown("The upstream's answer is not whole JSON.")
        images = read_images(document, self.request.n)
        if isinstance(images, Verdict):
            return images
        images = replace(images, created=images.created or self.created_s)
        return CompleteAnswer(images, self._body(images), self.spool)

    def _body(self, images: Images) -> Segments:
        if not self.request.stream:
            return images_response(images, created_s=self.created_s)
        events = completed_events(images, self.request.operation, self.created_s, self.request)
        return [piece for event in events for piece in event]

    def _take_all(self, events: list[Event]) -> CompleteAnswer | Verdict | None:
        """Queue events up to the one that ends the answer. Return the outcome, or None."""
        for event in events:
            outcome = self._complete_so_far() if event.is_done else self._take(self._converter.convert(event))
            if outcome is not None:
                return outcome
        return None

    def _take(self, event: ClientEvent | None) -> CompleteAnswer | Verdict | None:
        """Queue an event. Return the outcome when this event ends the answer, else None."""
        if event is None:
            return None
        if event.verdict is not None:
            return self._complete_so_far() or event.verdict
        if event.images is not None:
            self.completed.append(event)
            self._has_links = self._has_links or any("b64_json" not in item for item in event.images.items)
        if self._has_links and event.images is not None:
            self._held = [*self._held, *event.frame]
        elif len(self.completed) < self.request.n:
            self._send(event.frame, droppable=event.kind == "partial")
        elif event.images is not None:  # A relay can send more images than were asked for.
            self._send(self._held)
            self._held = event.frame
        return None

    def _send(self, frame: Segments, *, droppable: bool = False) -> None:
        if frame and self.queue is not None:
            self.queue.send(frame, self.spool, droppable=droppable)

    def _complete_so_far(self) -> CompleteAnswer | None:
        images = [event.images for event in self.completed if event.images is not None]
        return CompleteAnswer(merge_images(images, self.request.n), self._held, self.spool) if images else None
