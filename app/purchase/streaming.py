"""A streamed answer: its events go to the client as they come, and are read for the books on the way.

The event that completes the request is held back until it is booked: whoever has the picture has paid for it.
"""

from collections.abc import AsyncIterator

from app.core.pricing import Usage
from app.core.request import ImageRequest
from app.purchase.booking import Answered
from app.purchase.channel import Channel
from app.spool import Spool
from app.upstream.classify import Verdict, unknown
from app.upstream.client import Answer, Broken
from app.upstream.events import EventReader, EventShaper, Shaped
from app.upstream.images import Images


async def read_events(
    answer: Answer, spool: Spool, wanted: ImageRequest, created_s: int, channel: Channel
) -> Answered | Verdict:
    """Pass events on until the last image is complete. Raises Broken when the stream is cut before the first is."""
    completed: list[Images] = []
    try:
        async for shaped in _shaped(answer, wanted, created_s):
            if shaped.images is not None:
                completed.append(shaped.images)
            if shaped.kind == "error" or len(completed) == wanted.n:
                return _end(completed, shaped, spool, wanted)
            await channel.send(shaped.frame)
    except Broken:
        if not completed:
            raise
    if not completed:
        return unknown("The upstream's stream ended without an image.")
    return Answered(_together(completed, wanted.n), [], spool)


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
        return Answered(_together(completed, wanted.n), [last.frame], spool)
    assert last.error is not None
    return Verdict("unknown", last.error)


def _together(completed: list[Images], n: int) -> Images:
    """One answer made of its events. Tokens add up: each event tells those of its own image."""
    items = [item for images in completed for item in images.items]
    told = [images.usage for images in completed]
    usage = _sum([usage for usage in told if usage]) if all(told) else None
    last = completed[-1]
    return Images(
        items=items,
        usage=usage,
        output_tokens_by_kind=None,
        size=last.size,
        quality=last.quality,
        background=last.background,
        output_format=last.output_format,
        created=last.created,
        short=len(items) < n,
        bad_payload=not items,
    )


def _sum(usages: list[Usage]) -> Usage:
    texts, images = [u.input_text_tokens for u in usages], [u.input_image_tokens for u in usages]
    return Usage(
        total_tokens=sum(u.total_tokens for u in usages),
        input_tokens=sum(u.input_tokens for u in usages),
        output_tokens=sum(u.output_tokens for u in usages),
        input_text_tokens=None if None in texts else sum(t or 0 for t in texts),
        input_image_tokens=None if None in images else sum(i or 0 for i in images),
    )
