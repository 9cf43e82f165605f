"""Removal of stored answers whose pictures are kept in files of their own."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from app.blobs.folder import BlobUnavailable
from app.images.answers import KeptAnswers, read_stored
from app.images.linked import ReadAnswer
from app.images.replay import request_of
from app.images.storing import PictureStoring
from app.spool import Spool
from app.store.pictures import PictureRows, UntakenAnswer

BATCH = 20
"""Answers that are read from the database together."""
TRIES = 3
"""Times that a picture is stored whose file other processes remove."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AnswerRemoval:
    """Removal of the stored answers that their rows hold shortened, once the files of their pictures are there for certain."""

    kept_answers: KeptAnswers
    rows: PictureRows
    storing: PictureStoring

    async def remove_left(self) -> None:
        """Remove the answers that are still here although their pictures are kept, and those of people who are erased. Raises
        StoreUnavailable, StorageFull, BlobUnavailable."""
        names = await asyncio.to_thread(self.kept_answers.blobs.names)
        await self.remove(await self.kept_answers.rows.of_erased_people(names))
        shortened = await self.kept_answers.rows.shortened(names)
        for first in range(0, len(shortened), BATCH):
            for answer in await self.rows.taken_of(shortened[first : first + BATCH]):
                await self._remove_if_ensured(answer)

    async def _remove_if_ensured(self, answer: UntakenAnswer) -> None:
        if (spool := await self.kept_answers.open_incomplete(answer.request.id)) is None:
            return
        read = await self.parsed(answer, spool)
        try:
            if await self.ensured(read):
                await self.remove([answer.request.id])
        finally:
            read.close()

    async def ensured(self, read: ReadAnswer) -> bool:
        """Return whether all kept pictures of an answer have their files. Those that another process removed while their rows were
        recorded are stored again; only then the answer may go. Raises StorageFull, BlobUnavailable."""
        digests = [picture.digest for picture in await self.rows.of_request(read.answer.request.id)]
        for _ in range(TRIES):
            if await self.storing.files.blobs.has_all(digests):
                return True
            await self.storing.store(read)
        log.error("a stored answer stays because its picture cannot be stored", request_id=read.answer.request.id)
        return False

    async def parsed(self, answer: UntakenAnswer, spool: Spool) -> ReadAnswer:
        """Read an open answer; the caller closes it. One that cannot be read has no pictures."""
        request = answer.request
        complete = await asyncio.to_thread(read_stored, spool, request_of(request), request.reserved_at_ms // 1000)
        if complete is None:
            log.error("a stored answer cannot be read again; its pictures are not kept", request_id=request.id)
        return ReadAnswer(answer, spool, () if complete is None else complete.images.items)

    async def remove(self, request_ids: list[str]) -> None:
        """Remove stored answers that their rows hold shortened. What a bucket does not remove now goes when the row is pruned."""
        if request_ids:
            with suppress(BlobUnavailable):
                await self.kept_answers.blobs.remove(request_ids)
