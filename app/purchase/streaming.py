"""A streamed answer: its events go to the client as they come, and are read for the books on the way.

The event that completes the request is held back until it is booked: whoever has the picture has paid for it. Stored are the
completed events, for whoever asks again.
"""

from collections.abc import AsyncIterator

from app.core.request import ImageRequest
from app.purchase.booking import Answered
from app.purchase.channel import Channel
from app.spool import Spool
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer, Broken
from app.upstream.events import EventReader, EventShaper, Shaped
from app.upstream.images import Images, together


async def read_events(
    answer: Answer, spool: Spool, wanted: ImageRequest, created_s: int, channel: Channel
) -> Answered | Verdict:
    """Pass events on until the last image is complete. Raises Broken when the stream is cut before the first is."""
    completed: list[Images] = []
    try:
        async for shaped in _shaped(answer, wanted, created_s):
            if shaped.images is not None:
                completed.append(shaped.images)
                spool.write(shaped.frame)
            if shaped.kind == "error" or len(completed) == wanted.n:
                return _end(completed, shaped, spool, wanted)
            await channel.send(shaped.frame)
    except Broken:
        if not completed:
            raise
    if not completed:
        return unknown("The upstream's stream ended without an image.")
    return Answered(together(completed, wanted.n), [], spool)


async def _shaped(answer: Answer, wanted: ImageRequest, created_s: int) -> AsyncIterator[Shaped]:
    reader, shaper = EventReader(), EventShaper(wanted, created_s)
    async for chunk in answer.chunks():
        for event in reader.feed(chunk):
            if (shaped := shaper.shape(event)) is not None:
                yield shaped
    for event in reader.finish():
        if (shaped := shaper.shape(event)) is not None:
            yield shaped


def _end(completed: list[Images], last: Shaped, spool: Spool, wanted: ImageRequest) -> Answered | Verdict:
    """The stream has said its last word: an error, or the image that was still missing."""
    if completed:
        return Answered(together(completed, wanted.n), [last.frame], spool)
    assert last.error is not None
    return Verdict("unknown", last.error)
