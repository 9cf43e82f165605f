"""Taking in a plain answer: into the spool as it comes, its skeleton read on the way."""

from app.core.request import ImageRequest
from app.purchase.booking import Answered
from app.spool import Segments, Spool
from app.upstream.answer import completed_events, images_response
from app.upstream.classify import HEAD_BYTES, Verdict, classify_refusal, unknown
from app.upstream.client import Answer
from app.upstream.images import Images, read_images
from app.upstream.skeleton import MalformedAnswer, Skeleton


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
