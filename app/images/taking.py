"""Chore that gives the pictures of stored answers to the library, and leaves only the rest in the answers. Those that are only
links of the relay are fetched.

It works after SETTLE and only with what SETTLE has stored, so it changes nothing about the money of a request. Each step can be
repeated: a process that dies anywhere in between leaves an answer that is taken again.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from app.blobs.folder import MEMORY_BYTES_MAX, BlobUnavailable
from app.blobs.picture_files import PictureFile, PictureFiles
from app.blobs.rebuilt import encoded
from app.core.endings import RequestEnded, RequestRefused
from app.core.intervals import DAY_MS
from app.errors import GatewayError
from app.images.answers import KeptAnswers, read_stored
from app.images.crash import crash_point
from app.images.linked import ReadAnswer, fetch_links, log_link_only
from app.images.replay import request_of
from app.spool import Slice, Spool, whole
from app.store.clock import Clock
from app.store.ledger.columns import LINK_ONLY, Cut
from app.store.pictures import PictureRecord, PictureRows, TakenAnswer, UntakenAnswer
from app.upstream.fetch import PictureFetcher
from app.upstream.pictures import decoded
from app.upstream.skeleton import LongString

BATCH = 20
"""Answers whose pictures are recorded in one transaction."""
PAUSE_S = 0.25
"""Time in which ended requests are gathered."""
SWEEP_S = 60.0
"""Time between two looks for answers that no process has announced, which are made older than this by other replicas."""
LOST_MS = DAY_MS
"""Time after its expiry in which an answer without a file is waited for: its replica may come back."""
EVER_MS = 2**62
"""Newest answer of the first sweep: the clock of the process that died may have been ahead."""
T = TypeVar("T")
log = structlog.get_logger()


class PicturesNotTaken(Exception):
    """Raised when the pictures of some answers could not be taken for an error of this program; the log has it."""


@dataclass(slots=True)
class PictureTaking:
    """Taking of pictures from stored answers. Answers of this process are announced by `hear`; those of dead ones, and of other
    replicas that do not take them, are found by a sweep."""

    kept_answers: KeptAnswers
    rows: PictureRows
    files: PictureFiles
    fetcher: PictureFetcher
    clock: Clock
    keep_ms: int
    """Time that a picture is kept, in ms."""
    _ended: dict[str, None] = field(default_factory=dict, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _swept_at_ms: int | None = field(default=None, init=False)
    _failed: int = field(default=0, init=False)

    def hear(self, event: RequestEnded | RequestRefused) -> None:
        """Announce a settled request. This is a listener."""
        if isinstance(event, RequestEnded) and event.outcome == "settled":
            self._ended[event.request_id] = None
            self._wake.set()

    async def turn(self) -> None:
        """Wait for a settled request or the next sweep, then take what is there. Raises GatewayError while the disk, the bucket or
        the database fails, and PicturesNotTaken; both are repeated."""
        if not self._ended and self._swept_at_ms is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._wake.wait()
            await asyncio.sleep(PAUSE_S)
        self._wake.clear()
        await self.take_all()

    async def take_all(self) -> None:
        """Take the pictures of all announced answers and, at its time, of those found by a sweep. Raises as `turn` does."""
        self._failed = 0
        while self._ended:
            batch = list(self._ended)[:BATCH]
            await self._take(await self.rows.untaken_of(batch))
            for request_id in batch:
                self._ended.pop(request_id, None)
        now_ms = self.clock.now_ms()
        if self._swept_at_ms is None or self._swept_at_ms <= now_ms - SWEEP_S * 1000:
            await self.sweep(EVER_MS if self._swept_at_ms is None else now_ms - int(SWEEP_S * 1000))
            self._swept_at_ms = now_ms
        if self._failed:
            raise PicturesNotTaken(f"The pictures of {self._failed} stored answers could not be taken.")

    async def sweep(self, newest_ms: int) -> None:
        """Take the pictures of all answers made at `newest_ms` (Unix ms) or before. The first sweep of a process also removes the
        answers whose pictures were taken by one that died before it removed them."""
        if self._swept_at_ms is None:
            names = await asyncio.to_thread(self.kept_answers.blobs.names)
            await self._remove(await self.kept_answers.rows.shortened(names))
        after = (0, "")
        while batch := await self.rows.untaken(newest_ms, BATCH, after=after):
            await self._take(batch)
            after = (batch[-1].created_at_ms, batch[-1].request.id)

    async def _take(self, answers: Sequence[UntakenAnswer]) -> None:
        """Store the pictures of these answers, record them, and remove the answers that they were cut out of."""
        read: list[ReadAnswer] = []
        try:
            for answer in answers:
                each = await self._or_none(answer, self._read(answer))
                read += [] if each is None else [each]
            await fetch_links(self.fetcher, self.kept_answers.directory, read)
            async with self.files.lock:
                stored = [await self._or_none(each.answer, self._store(each)) for each in read]
                taken = [each for each in stored if each is not None]
                if not taken:
                    return
                recorded = await self.rows.note_taken(taken)
        finally:
            for each in read:
                each.close()
        crash_point("after_pictures")
        shortened = {answer.request_id for answer in taken if answer.body is not None}
        await self._remove([request_id for request_id in recorded if request_id in shortened])

    async def _or_none(self, answer: UntakenAnswer, step: Awaitable[T]) -> T | None:
        """Await a step for an answer. Return None for an error of this program, because others must not wait for an answer that
        cannot be read. Raises GatewayError."""
        try:
            return await step
        except GatewayError:
            raise
        except Exception:
            log.exception("the pictures of a stored answer cannot be taken", request_id=answer.request.id)
            self._failed += 1
            return None

    async def _read(self, answer: UntakenAnswer) -> ReadAnswer | None:
        """Open and read an answer; the caller closes it. Return None when that has to wait."""
        crash_point("before_pictures")
        spool = await self.kept_answers.open_untaken(answer)
        if spool is None:
            is_lost = answer.expires_at_ms <= self.clock.now_ms() - LOST_MS
            return ReadAnswer(answer, Spool(self.kept_answers.directory), ()) if is_lost else None
        request = answer.request
        complete = await asyncio.to_thread(read_stored, spool, request_of(request), request.reserved_at_ms // 1000)
        if complete is None:
            log.error("a stored answer cannot be read again; its pictures are not kept", request_id=request.id)
        return ReadAnswer(answer, spool, () if complete is None else complete.images.items)

    async def _store(self, read: ReadAnswer) -> TakenAnswer:
        taken = await asyncio.to_thread(self._store_pictures, read)
        for picture in taken.pictures:
            await self.files.share(picture.digest, picture.kept_until_ms)
        return taken

    def _store_pictures(self, read: ReadAnswer) -> TakenAnswer:
        stored: list[tuple[int, Any, PictureFile]] = []
        link_only: list[Cut] = []
        for index, item in enumerate(read.items):
            b64, fetched, file = item.get("b64_json"), read.fetched.get(index), None
            chunks = decoded(b64, read.spool) if b64 is not None else None if fetched is None else whole(fetched)
            if chunks is not None:
                file = self.files.store(chunks)
                crash_point("after_picture")
            if file is not None:
                stored.append((index, b64, file))
            elif b64 is None:
                link_only.append(Cut(0, LINK_ONLY, index))
                if fetched is not None:
                    log_link_only(read, index, "it is no PNG, JPEG, WebP or GIF")
        cuts = [self._cut(index, b64, file, read.spool) for index, b64, file in stored]
        body = rest_of(read.spool, cuts)
        if body is None:
            cuts = [Cut(0, 0, cut.picture) for cut in cuts]
        pictures = tuple(self._record(read.answer, index, file) for index, _, file in stored)
        return TakenAnswer(read.answer.request.id, pictures, tuple(sorted([*cuts, *link_only])), body)

    def _cut(self, index: int, b64: str | LongString | None, file: PictureFile, spool: Spool) -> Cut:
        if isinstance(b64, LongString):
            picture = self.files.open_local(file.digest)
            try:
                if is_base64_of(spool, b64.piece, picture):
                    return Cut(b64.offset, b64.length, index)
            finally:
                picture.close()
        return Cut(0, 0, index)

    def _record(self, answer: UntakenAnswer, index: int, file: PictureFile) -> PictureRecord:
        return PictureRecord(
            id=f"{answer.request.id}_{index}",
            request_id=answer.request.id,
            index=index,
            user_id=answer.user_id,
            project_id=answer.project_id,
            model=answer.request.model,
            digest=file.digest,
            media_type=file.facts.media_type,
            width_px=file.facts.width_px,
            height_px=file.facts.height_px,
            bytes=file.size_bytes,
            c2pa=file.facts.c2pa,
            visibility="private",
            created_at_ms=answer.created_at_ms,
            kept_until_ms=answer.created_at_ms + self.keep_ms,
        )

    async def _remove(self, request_ids: list[str]) -> None:
        """Remove stored answers that their rows hold shortened. What a bucket does not remove now goes when the row is pruned."""
        if request_ids:
            with suppress(BlobUnavailable):
                await self.kept_answers.blobs.remove(request_ids)


def is_base64_of(spool: Spool, piece: Slice, picture: Spool) -> bool:
    """Return whether a piece of an answer is the base64 of a picture, as it is encoded again from its file."""
    if piece.length != -(-picture.size_bytes // 3) * 4:
        return False
    at = 0
    for chunk in spool.chunks(piece):
        if chunk != encoded(picture, at, at + len(chunk)):
            return False
        at += len(chunk)
    return True


def rest_of(spool: Spool, cuts: Sequence[Cut]) -> bytes | None:
    """Return an answer without its cuts. Return None when nothing is cut, or when more is left than a row holds."""
    cut_bytes = sum(cut.length for cut in cuts)
    if cut_bytes == 0 or spool.size_bytes - cut_bytes > MEMORY_BYTES_MAX:
        return None
    return b"".join(spool.read(piece) for piece in _between(spool, cuts))


def _between(spool: Spool, cuts: Sequence[Cut]) -> Iterator[Slice]:
    at = 0
    for cut in sorted(cuts):
        if cut.length:
            yield Slice(at, cut.offset - at)
            at = cut.offset + cut.length
    yield Slice(at, spool.size_bytes - at)
