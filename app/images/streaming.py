"""A streamed answer: its events go to the client as they come, and are read for the books on the way.

The event that completes the request is held back until it is booked: whoever has the picture has paid for it. Stored are the
completed events, for whoever asks again.
"""

from collections.abc import AsyncIterator

from app.core.request import ImageRequest
from app.images.booking import Answered
from app.images.channel import Channel
from app.spool import Segments, Spool
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer
from app.upstream.events import EventReader, EventShaper, Shaped
from app.upstream.images import Images, together

NO_IMAGE = "The upstream's stream ended without an image."


async def read_events(
    answer: Answer, spool: Spool, wanted: ImageRequest, created_s: int, channel: Channel, completed: list[Images]
) -> Answered | Verdict:
    """Pass events on until the last image is complete; `completed` fills on the way. Raises Broken when the stream is cut."""
    async for shaped in _shaped(answer, wanted, created_s):
        if shaped.images is not None:
            completed.append(shaped.images)
            spool.write(shaped.frame)
        if len(completed) == wanted.n:
            return answered(completed, [shaped.frame], spool, wanted)
        if shaped.kind == "error" and shaped.images is None:
            assert shaped.error is not None
            return answered(completed, [], spool, wanted) if completed else Verdict("unknown", shaped.error)
        if shaped.frame:
            await channel.send(shaped.frame)
    return answered(completed, [], spool, wanted) if completed else unknown(NO_IMAGE)


def answered(completed: list[Images], last: Segments, spool: Spool, wanted: ImageRequest) -> Answered:
    """What a stream has brought; `last` is what the client still gets of it."""
    return Answered(together(completed, wanted.n), last, spool)


async def _shaped(answer: Answer, wanted: ImageRequest, created_s: int) -> AsyncIterator[Shaped]:
    reader, shaper = EventReader(), EventShaper(wanted, created_s)
    async for chunk in answer.chunks():
        for event in reader.feed(chunk):
            if (shaped := shaper.shape(event)) is not None:
                yield shaped
    for event in reader.finish():
        if (shaped := shaper.shape(event)) is not None:
            yield shaped
