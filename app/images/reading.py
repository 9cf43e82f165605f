"""Taking in a plain answer: into the spool as it comes, its skeleton read on the way."""

from app.core.request import ImageRequest
from app.images.booking import Answered
from app.spool import Segments, Slice, Spool, whole
from app.upstream.answer import completed_events, images_response
from app.upstream.classify import HEAD_BYTES, Verdict, classify_refusal, unknown
from app.upstream.client import Answer
from app.upstream.events import EventReader, EventShaper
from app.upstream.images import Images, read_images, together
from app.upstream.skeleton import MalformedAnswer, Skeleton

EVENT = b"event:"
"""What stored events begin with, and JSON does not."""


async def read_refusal(answer: Answer) -> Verdict:
    """What an answer that is not a readable 200 means; only its head is taken in."""
    head = bytearray()
    async for chunk in answer.chunks():
        head += chunk[: HEAD_BYTES - len(head)]
        if len(head) >= HEAD_BYTES:
            break
    return classify_refusal(answer.status, answer.content_type, bytes(head), answer.retry_after)


async def read_answer(
    answer: Answer, spool: Spool, wanted: ImageRequest, created_s: int, bytes_max: int
) -> Answered | Verdict:
    """A 200, to its end. Raises Broken when it is cut and OSError when the disk is full."""
    skeleton = Skeleton()
    async for chunk in answer.chunks():
        if spool.size_bytes + len(chunk) > bytes_max:
            return unknown(f"The upstream's answer is larger than {bytes_max} bytes.")
        spool.write(chunk)
        skeleton.feed(chunk)
    return sound(skeleton, spool, wanted, created_s)


def read_stored(spool: Spool, wanted: ImageRequest, created_s: int) -> Answered | None:
    """A stored answer, read again; None where it is not whole. The same bytes give the same answer as the first time."""
    if spool.read(Slice(0, len(EVENT))) == EVENT:
        return _read_events(spool, wanted, created_s)
    skeleton = Skeleton()
    for chunk in whole(spool):
        skeleton.feed(chunk)
    answered = sound(skeleton, spool, wanted, created_s)
    return answered if isinstance(answered, Answered) else None


def _read_events(spool: Spool, wanted: ImageRequest, created_s: int) -> Answered | None:
    """The completed events of a stream; whole when there is one for each image."""
    reader, shaper = EventReader(), EventShaper(wanted, created_s)
    events = [event for chunk in whole(spool) for event in reader.feed(chunk)]
    shaped = [shaper.shape(event) for event in events]
    completed = [each.images for each in shaped if each is not None and each.images is not None]
    if not completed:
        return None
    return Answered(together(completed, wanted.n), [Slice(0, spool.size_bytes)], spool)


def sound(skeleton: Skeleton, spool: Spool, wanted: ImageRequest, created_s: int) -> Answered | Verdict:
    """What the spooled bytes say, once they are all there."""
    try:
        document = skeleton.document()
    except MalformedAnswer:
        return unknown("The upstream's answer is not whole JSON.")
    images = read_images(document, wanted.n)
    if isinstance(images, Verdict):
        return images
    return Answered(images, _body(images, wanted, created_s), spool)


def _body(images: Images, wanted: ImageRequest, created_s: int) -> Segments:
    if not wanted.stream:
        return images_response(images, created_s=created_s)
    events = completed_events(images, wanted.operation, created_s, wanted)
    return [piece for event in events for piece in event]
