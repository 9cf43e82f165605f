"""Stored answers of the relay: written while they arrive, and read again for a replay.

Answers up to 32 KiB are stored in the row that settles them, larger ones in a file named by request id. The file is not
fsynced: it survives the process, and after a power cut it is parsed again before the request is settled.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.blobs.folder import YOUNG_MS, Blobs
from app.blobs.picture_files import PictureFiles
from app.blobs.rebuilt import CutPicture, RebuiltSpool
from app.core.intervals import HOUR_MS, hour_end_ms
from app.core.request import ImageRequest
from app.errors import GatewayError, NotFound, StorageFull
from app.images.booking import CompleteAnswer
from app.images.streaming import ReceivedAnswer
from app.spool import Slice, Spool
from app.store.ledger.columns import LINK_ONLY, Cut, StoredResult
from app.store.pictures import PictureRows, UntakenAnswer
from app.store.results import ResultRows
from app.upstream.classify import Verdict, classify_refusal
from app.upstream.client import Answer
from app.upstream.refusal import HEAD_BYTES

NO_FILE = "The gateway has no file descriptor left to store an answer; nothing was bought. Try again shortly."
FULL = "The gateway has no room left to store an answer; nothing was bought. An administrator has to make room."
NO_INODES = "The disk of the gateway has no inodes left for another file; nothing was bought. An administrator has to remove files."
READ_ONLY = "The disk of the gateway is read-only; nothing was bought. An administrator has to make it writable again."


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Rules for keeping answers: `long_s` seconds when a replay is expected, else `short_s`; at most `bytes_max` in all, and
    `free_bytes_min` bytes of the disk stay free."""

    short_s: float
    long_s: float
    bytes_max: int
    free_bytes_min: int

    def seconds(self, *, replay_expected: bool) -> float:
        return self.long_s if replay_expected else self.short_s


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """Stored answers: their blobs, and the rows that describe them."""

    blobs: Blobs
    rows: ResultRows
    retention: RetentionPolicy
    picture_files: PictureFiles
    picture_rows: PictureRows

    def create(self, request_id: str) -> Spool:
        """Create an empty blob, to be written while the answer arrives."""
        return self.blobs.create(request_id)

    @property
    def directory(self) -> Path:
        return self.blobs.directory

    def check_room(self) -> None:
        """Check that the disk has room for another file. Raises StorageFull: an answer that cannot be stored would be paid and
        lost."""
        space = os.statvfs(self.directory)
        if space.f_flag & os.ST_RDONLY:
            raise StorageFull(READ_ONLY)
        if space.f_files and space.f_favail == 0:  # File systems without a table of inodes have 0 of 0.
            raise StorageFull(NO_INODES)
        if space.f_bavail * space.f_frsize < self.retention.free_bytes_min:
            raise StorageFull(FULL)

    def stored(self, spool: Spool, now_ms: int, request: ImageRequest, *, replay_expected: bool) -> StoredResult:
        """Make the result that a settlement records of a complete answer.

        It is kept longer when `replay_expected` or when its client asked for links; then to the end of an hour, as links are.
        """
        body = None if spool.in_file else spool.read(Slice(0, spool.size_bytes))
        with_links = request.response_format == "url" and not request.stream
        expires_at_ms = now_ms + int(self.retention.seconds(replay_expected=replay_expected or with_links) * 1000)
        if with_links:
            expires_at_ms = hour_end_ms(expires_at_ms)
        return StoredResult(body, spool.size_bytes, now_ms, expires_at_ms)

    async def share(self, request_id: str, result: StoredResult) -> None:
        """Make an answer available to all replicas; called before it is settled, so that each can replay it. Never raises."""
        if result.body is None:
            await self.blobs.share(request_id, result.expires_at_ms)

    async def load(self, request_id: str, now_ms: int) -> Spool | None:
        """Load a stored answer; the caller closes it. Return None when there is none or it has expired.

        Raises BlobUnavailable when it cannot be fetched right now.
        """
        row = await self.rows.find(request_id)
        spool = await self._open(request_id, row, now_ms)
        if spool is None and row is not None and row.cuts is None:
            # Its pictures may have been cut out since the row was read.
            spool = await self._open(request_id, await self.rows.find(request_id), now_ms)
        return spool

    async def _open(self, request_id: str, row: StoredResult | None, now_ms: int) -> Spool | None:
        if row is None or row.expires_at_ms <= now_ms:
            return None
        files = await self._open_pictures(request_id, row.cuts or ())
        if files is None:
            return None
        if row.body is None:
            return await self.blobs.open(request_id, just_made=row.created_at_ms > now_ms - YOUNG_MS)
        return RebuiltSpool(self.directory, row.body, files)

    async def _open_pictures(self, request_id: str, cuts: Sequence[Cut]) -> list[CutPicture] | None:
        """Open the pictures that were cut out of an answer. Return None when one of them, cut out or not, is not kept any more."""
        cuts = [cut for cut in cuts if cut.length != LINK_ONLY]
        kept = {picture.index: picture for picture in await self.picture_rows.of_request(request_id)} if cuts else {}
        if not all(cut.picture in kept for cut in cuts):
            return None
        opened: list[CutPicture] = []
        try:
            for cut in cuts:
                if cut.length:
                    picture = kept[cut.picture]
                    file = await self.picture_files.open_kept(picture.id, picture.digest)
                    opened.append(CutPicture(Slice(cut.offset, cut.length), file))
            files, opened = opened, []
            return files
        except NotFound:
            return None
        finally:
            for each in opened:
                each.file.close()

    async def open_untaken(self, answer: UntakenAnswer) -> Spool | None:
        """Open an answer whose pictures are still to be kept, also when it has expired; the caller closes it. Return None when
        there is none here, or not any more. Raises BlobUnavailable."""
        row = await self.rows.find(answer.request.id)
        if row is None or row.cuts is not None:
            return None
        if row.body is None:
            return await self.blobs.open(answer.request.id)
        return RebuiltSpool(self.directory, row.body, ())

    async def open_incomplete(self, request_id: str) -> Spool | None:
        """Open the file of an answer, which may have been cut; None when there is none. Raises BlobUnavailable."""
        return await self.blobs.open(request_id)

    async def prune(self, now_ms: int) -> int:
        """Remove expired answers, then the oldest above `bytes_max`; returns how many.

        Raises BlobUnavailable when the bucket fails: rows of answers not removed stay, and the next call tries them again.
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

    async def remove_copy(self, request_id: str) -> None:
        """Remove the file of an answer that its row holds, too. Never raises: `tidy` removes it later."""
        with suppress(GatewayError, OSError):
            row = await self.rows.find(request_id)
            if row is not None and row.body is not None:
                await self.blobs.remove([request_id])

    async def tidy(self, now_ms: int) -> int:
        """Remove files that no row names any more; returns how many. Reads the whole directory."""
        keep_s = 2 * self.retention.long_s + HOUR_MS / 1000
        waiting = await self.rows.untaken_by(now_ms) if self.rows.keeps_untaken else set()
        return await asyncio.to_thread(self.blobs.tidy, keep_s, waiting)


async def read_refusal(answer: Answer) -> Verdict:
    """Classify an answer that is not a readable 200 by the first bytes of its body."""
    head = bytearray()
    async for chunk in answer.chunks():
        head += chunk[: HEAD_BYTES - len(head)]
        if len(head) >= HEAD_BYTES:
            break
    return classify_refusal(
        answer.status, answer.content_type, bytes(head), answer.retry_after, via_cloudflare=answer.via_cloudflare
    )


def read_stored(spool: Spool, request: ImageRequest, created_s: int) -> CompleteAnswer | None:
    """Parse a stored answer again. Return None when it was cut before its end. The same bytes give the same answer each time."""
    return ReceivedAnswer(spool, request, created_s, spool.size_bytes, None).read_again()
