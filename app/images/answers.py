"""Kept answers: read while they arrive, stored, and read again for a replay.

Small ones lie in the row that settles them, larger ones in a file named by request id. A file is not synced: it survives the
process, and after a power cut it is read again before it is believed.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from app.blobs.folder import MEMORY_BYTES_MAX, YOUNG_MS, Blobs
from app.core.request import ImageRequest
from app.errors import StorageFull
from app.images.booking import CompleteAnswer
from app.spool import Segments, Slice, Spool, whole
from app.store.ledger.columns import StoredResult
from app.store.results import ResultRows
from app.upstream.answer import completed_events, images_response
from app.upstream.classify import HEAD_BYTES, Verdict, classify_refusal, unknown
from app.upstream.client import Answer
from app.upstream.events import EventReader, EventShaper
from app.upstream.images import Images, read_images, together
from app.upstream.skeleton import MalformedAnswer, Skeleton

FULL = "The gateway has no room left to store an answer; nothing was bought. An administrator has to make room."


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long an answer is kept: `long_s` where somebody is expected to come for it again, else `short_s`."""

    short_s: float
    long_s: float
    bytes_max: int
    free_bytes_min: int

    def seconds(self, *, expected: bool) -> float:
        return self.long_s if expected else self.short_s


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """Where the files lie, and the rows that say what is kept."""

    blobs: Blobs
    rows: ResultRows
    retention: RetentionPolicy

    def create(self, request_id: str) -> Spool:
        """To be written while the answer passes."""
        return self.blobs.create(request_id)

    @property
    def directory(self) -> Path:
        return self.blobs.directory

    def check_room(self) -> None:
        """Raises StorageFull while there is little left: an answer that cannot be stored would be paid and lost."""
        space = os.statvfs(self.directory)
        if space.f_bavail * space.f_frsize < self.retention.free_bytes_min:
            raise StorageFull(FULL)

    def stored(self, spool: Spool, now_ms: int, *, expected: bool) -> StoredResult:
        """What the settlement says of an answer that was read to its end."""
        body = None if spool.in_file else spool.read(Slice(0, spool.size_bytes))
        expires_at_ms = now_ms + int(self.retention.seconds(expected=expected) * 1000)
        return StoredResult(body, spool.size_bytes, now_ms, expires_at_ms)

    async def share(self, request_id: str, result: StoredResult) -> None:
        """To be awaited before the settlement that says so: then every replica can replay it. Never raises."""
        if result.body is None:
            await self.blobs.share(request_id, result.expires_at_ms)

    async def load(self, request_id: str, now_ms: int) -> Spool | None:
        """The stored answer, to be read and closed; None when there is none, or none any more. Raises BlobUnavailable when there
        is one that cannot be had right now."""
        row = await self.rows.find(request_id)
        if row is None or row.expires_at_ms <= now_ms:
            return None
        if row.body is None:
            return await self.blobs.open(request_id, just_made=row.created_at_ms > now_ms - YOUNG_MS)
        spool = Spool(self.directory, memory_bytes_max=MEMORY_BYTES_MAX)
        spool.write(row.body)
        return spool

    async def reread(self, request_id: str) -> Spool | None:
        """What was written to the file, perhaps not to its end; None when there is no file. Raises BlobUnavailable."""
        return await self.blobs.open(request_id)

    async def prune(self, now_ms: int) -> int:
        """Remove expired answers, then the oldest above the cap, in steps of PRUNE_MAX until none is left; returns how many.

        Raises BlobUnavailable when a bucket does not let go of some: their rows stay, and the next call tries them again.
        """
        removed = 0
        while step := await self.rows.expired(now_ms):
            removed += await self._remove(step)
        newest_ms = await self.rows.newest_above(self.retention.bytes_max, now_ms - YOUNG_MS)
        while newest_ms is not None and (step := await self.rows.made_by(newest_ms)):
            removed += await self._remove(step)
        return removed

    async def _remove(self, request_ids: list[str]) -> int:
        await self.blobs.remove(request_ids)
        await self.rows.forget(request_ids)
        return len(request_ids)

    async def tidy(self) -> int:
        """Remove files that no row tells of any more; returns how many. It looks at every file there is."""
        return await asyncio.to_thread(self.blobs.tidy, 2 * self.retention.long_s)


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
) -> CompleteAnswer | Verdict:
    """A 200, to its end. Raises Broken when it is cut and OSError when the disk is full."""
    skeleton = Skeleton()
    async for chunk in answer.chunks():
        if spool.size_bytes + len(chunk) > bytes_max:
            return unknown(f"The upstream's answer is larger than {bytes_max} bytes.")
        spool.write(chunk)
        skeleton.feed(chunk)
    return checked_answer(skeleton, spool, wanted, created_s)


def read_stored(spool: Spool, wanted: ImageRequest, created_s: int) -> CompleteAnswer | None:
    """A stored answer, read again; None where it is not whole. The same bytes give the same answer as the first time."""
    if spool.read(Slice(0, len(EVENT))) == EVENT:
        return _read_events(spool, wanted, created_s)
    skeleton = Skeleton()
    for chunk in whole(spool):
        skeleton.feed(chunk)
    answered = checked_answer(skeleton, spool, wanted, created_s)
    return answered if isinstance(answered, CompleteAnswer) else None


def _read_events(spool: Spool, wanted: ImageRequest, created_s: int) -> CompleteAnswer | None:
    """The completed events of a stream; whole when there is one for each image."""
    reader, shaper = EventReader(), EventShaper(wanted, created_s)
    events = [event for chunk in whole(spool) for event in reader.feed(chunk)]
    shaped = [shaper.shape(event) for event in events]
    completed = [each.images for each in shaped if each is not None and each.images is not None]
    if not completed:
        return None
    return CompleteAnswer(together(completed, wanted.n), [Slice(0, spool.size_bytes)], spool)


def checked_answer(skeleton: Skeleton, spool: Spool, wanted: ImageRequest, created_s: int) -> CompleteAnswer | Verdict:
    """What the spooled bytes say, once they are all there."""
    try:
        document = skeleton.document()
    except MalformedAnswer:
        return unknown("The upstream's answer is not whole JSON.")
    images = read_images(document, wanted.n)
    if isinstance(images, Verdict):
        return images
    return CompleteAnswer(images, _body(images, wanted, created_s), spool)


def _body(images: Images, wanted: ImageRequest, created_s: int) -> Segments:
    if not wanted.stream:
        return images_response(images, created_s=created_s)
    events = completed_events(images, wanted.operation, created_s, wanted)
    return [piece for event in events for piece in event]
