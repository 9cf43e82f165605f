"""Storing of the pictures of an answer in files of their own, and of what is left of the answer without them."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from app.blobs.folder import MEMORY_BYTES_MAX
from app.blobs.picture_files import PictureFile, PictureFiles
from app.blobs.rebuilt import base64_bytes, encoded
from app.images.crash import crash_point
from app.images.linked import ReadAnswer, log_link_only
from app.spool import Slice, Spool, whole
from app.store.ledger.columns import LINK_ONLY, Cut
from app.store.pictures import PictureRecord, TakenAnswer, UntakenAnswer
from app.upstream.pictures import decoded
from app.upstream.skeleton import LongString

_REVISED_PROMPT = re.compile(rb'("revised_prompt"\s*:\s*")((?:[^"\\]|\\.)*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class PictureStoring:
    """Files that pictures are stored in, and the time that a picture is kept, in ms. `keeps_words`: prompts as the relay revised
    them stay in what is left of an answer."""

    files: PictureFiles
    keep_ms: int
    keeps_words: bool = True

    async def store(self, read: ReadAnswer) -> TakenAnswer:
        """Store the pictures of an answer and make them available to all replicas. Raises StorageFull, BlobUnavailable."""
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
        elif not self.keeps_words:
            body = without_words(body)
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


def is_base64_of(spool: Spool, piece: Slice, picture: Spool) -> bool:
    """Return whether a piece of an answer is the base64 of a picture, as it is encoded again from its file."""
    if piece.length != base64_bytes(picture.size_bytes):
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


def without_words(rest: bytes) -> bytes:
    """Blank the prompts as the relay revised them. The length stays, because cuts are places in the whole answer."""
    return _REVISED_PROMPT.sub(lambda found: found[1] + b" " * len(found[2]), rest)


def _between(spool: Spool, cuts: Sequence[Cut]) -> Iterator[Slice]:
    at = 0
    for cut in sorted(cuts):
        if cut.length:
            yield Slice(at, cut.offset - at)
            at = cut.offset + cut.length
    yield Slice(at, spool.size_bytes - at)
