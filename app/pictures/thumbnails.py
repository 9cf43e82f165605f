"""Thumbnails of the kept pictures: made by one process at the lowest priority, never on the path of a request for images."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from app.blobs.picture_files import UNFINISHED, PictureFiles
from app.chores import Chore, WhenFit
from app.core.intervals import DAY_MS
from app.errors import GatewayError, NotFound, Overloaded
from app.pictures.thumbnail_process import NoThumbnail, ProcessEnded, ThumbnailProcess
from app.spool import Slice, Spool
from app.store.pictures import PictureRecord, PictureRows

QUEUE_MAX = 200
"""Pictures that may wait, of those asked for and of those just bought. A new one above it is made when it is asked for."""
ASK_S = 5.0
"""Longest time that whoever asks for a thumbnail waits for it: a page shows a broken image where the answer is no image."""
RETRY_S = 5
IDLE_S = 60.0
"""Time without work after which the process ends."""
NONE = (
    "This picture cannot be decoded, so it has no thumbnail. /content after its address gives its bytes as they came."
)
DELETED = "The picture was deleted."
NOTED_AT_ONCE = 20
"""Sizes that are noted in one transaction: each has an fsync that requests wait for."""
SHARE_MS = 7 * DAY_MS
"""Time in which the upload of a thumbnail to a bucket that fails is tried again."""
log = structlog.get_logger()


@dataclass(slots=True)
class Thumbnails:
    """Thumbnails in `files`, named by the digests of their `pictures`, so that equal pictures share one."""

    rows: PictureRows
    pictures: PictureFiles
    files: PictureFiles
    process: ThumbnailProcess = field(default_factory=ThumbnailProcess)
    _asked: deque[str] = field(default_factory=deque, init=False)
    _bought: deque[str] = field(default_factory=deque, init=False)
    _finished: dict[str, int] = field(default_factory=dict, init=False)
    """Bytes of thumbnails that are made and not noted yet; 0 where none can be made."""
    _ending: set[str] = field(default_factory=set, init=False)
    """Pictures that the process has ended at once; at the second time they have no thumbnail."""
    _outcomes: dict[str, asyncio.Future[None]] = field(default_factory=dict, init=False)
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def hear(self, taken: Sequence[PictureRecord]) -> None:
        """Queue the thumbnails of pictures that were just bought, as far as there is room. This is a listener."""
        for record in taken:
            if len(self._bought) < QUEUE_MAX and record.digest not in self._outcomes:
                self._bought.append(record.digest)
                self._wake.set()

    @property
    def waiting(self) -> int:
        """Number of pictures whose thumbnails are to be made."""
        return len(self._asked) + len(self._bought)

    async def open(self, record: PictureRecord) -> Spool:
        """Open the thumbnail of a picture; the caller closes it. One that is missing is made, which takes ASK_S at most. Raises
        NotFound for a picture that cannot be decoded or is gone, Overloaded, StoreUnavailable, StorageFull."""
        size_bytes = self._finished.get(record.digest, record.thumbnail_bytes)
        if size_bytes == 0:
            raise NotFound(NONE)
        if size_bytes is not None and (spool := await self.files.open(record.digest)) is not None:
            if spool.size_bytes == size_bytes:
                return spool
            spool.close()  # A power cut has taken its bytes.
        await self._made(record.digest)
        if (made := await self.files.open(record.digest)) is None:
            raise NotFound(DELETED)
        return made

    async def turn(self) -> None:
        """Wait for the next picture and make its thumbnail; note the sizes of several at once. Raises GatewayError."""
        while not (self._asked or self._bought or self._finished):
            self._wake.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._wake.wait()
            except TimeoutError:
                await self.process.stop()
        if self._asked or self._bought:
            await self._make_next()
        if len(self._finished) >= NOTED_AT_ONCE or not (self._asked or self._bought):
            await self._note()

    def chores(self, when_fit: WhenFit) -> Iterator[Chore]:
        yield Chore("thumbnails", when_fit(self.turn), every_s=0, last_turn=self.stop)
        yield from self.files.blobs.chores()

    async def stop(self) -> None:
        """Note what is finished and end the process. Raises GatewayError."""
        await self.process.stop()
        await self._note()

    async def _make_next(self) -> None:
        is_asked = bool(self._asked)
        digest = (self._asked or self._bought).popleft()
        error: GatewayError | None = Overloaded("The thumbnail could not be made now.", retry_after_s=RETRY_S)
        try:
            # Equal pictures share a thumbnail, so one that was just bought may have it.
            known = None if is_asked else await self.rows.thumbnail_bytes(digest)
            self._finished[digest] = await self._make(digest) if known is None else known
            error = None
        except NoThumbnail as exc:
            log.warning("a picture has no thumbnail", digest=digest, reason=str(exc))
            self._finished[digest] = 0
            error = NotFound(NONE)
        except NotFound as exc:
            error = exc
        except GatewayError as exc:
            error = exc
            raise
        finally:
            self._tell(digest, error)

    def _tell(self, digest: str, error: GatewayError | None) -> None:
        """Tell the outcome to those who asked for a thumbnail, also while it was made."""
        outcome = self._outcomes.pop(digest, None)
        if outcome is None:
            return
        with suppress(ValueError):
            self._asked.remove(digest)
        if error is None:
            outcome.set_result(None)
        else:
            outcome.set_exception(error)

    async def _note(self) -> None:
        """Note the sizes of finished thumbnails in one transaction, and remove those whose pictures were deleted meanwhile."""
        finished = dict(self._finished)
        if not finished:
            return
        gone = await self.rows.note_thumbnails(finished)
        for digest in finished:
            self._finished.pop(digest, None)
        if gone:
            await self.files.blobs.remove(gone)

    async def _made(self, digest: str) -> None:
        """Wait until a thumbnail is made. Raises Overloaded after ASK_S or when too many wait, and the errors of `turn`."""
        outcome = self._outcomes.get(digest)
        if outcome is None:
            if len(self._asked) >= QUEUE_MAX:
                message = f"{QUEUE_MAX} thumbnails are waited for already. Try again in a few seconds."
                raise Overloaded(message, retry_after_s=RETRY_S)
            outcome = self._outcomes[digest] = asyncio.get_running_loop().create_future()
            outcome.add_done_callback(lambda done: done.exception())  # Nobody may wait for it any more.
            self._asked.append(digest)
            self._wake.set()
        try:
            async with asyncio.timeout(ASK_S):
                await asyncio.shield(outcome)
        except TimeoutError:
            message = "The thumbnail is not made yet. Try again in a few seconds."
            raise Overloaded(message, retry_after_s=RETRY_S) from None

    async def _make(self, digest: str) -> int:
        """Make a thumbnail and store it; returns its bytes. Raises NoThumbnail, NotFound for a picture that is gone."""
        directory = self.files.blobs.directory
        target = directory / f"{UNFINISHED}{secrets.token_hex(8)}"
        try:
            size_bytes = await self._written(digest, target)
            target.rename(directory / digest)  # Not fsynced: one that a power cut takes is made again.
        except ProcessEnded as exc:
            if digest in self._ending:
                raise NoThumbnail(str(exc)) from None
            self._ending.add(digest)
            raise
        finally:
            target.unlink(missing_ok=True)
        await self.files.blobs.share(digest, int(time.time() * 1000) + SHARE_MS)
        return size_bytes

    async def _written(self, digest: str, target: Path) -> int:
        """Write the thumbnail of a picture to a file; returns its bytes."""
        with suppress(FileNotFoundError):
            return await self.process.make(self.pictures.blobs.directory / digest, target)
        picture = await self.pictures.open(digest)  # Out of the bucket.
        if picture is None:
            raise NotFound(DELETED)
        copy = target.with_name(f"{target.name}-source")
        try:
            with copy.open("xb") as file:
                for chunk in picture.chunks(Slice(0, picture.size_bytes)):
                    await asyncio.to_thread(file.write, chunk)
            return await self.process.make(copy, target)
        finally:
            picture.close()
            copy.unlink(missing_ok=True)
