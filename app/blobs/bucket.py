"""Blobs in a directory and an S3 bucket, for replicas that share no directory.

An answer is uploaded before it is settled, so that every replica can replay a settled request. While the bucket is unavailable,
answers are settled all the same, and uploaded from their files later.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import structlog

from app.blobs.folder import MEMORY_BYTES_MAX, YOUNG_MS, BlobUnavailable, FolderBlobs, StoredBlob
from app.blobs.objects import CHECK_S, ObjectBucket, reason
from app.chores import Chore
from app.spool import Spool

SHARE_S = 10.0
"""Longest time that a client waits for an upload; then the answer is sent, and the upload is retried in the background."""
UPLOAD_S = 300.0
ASIDE = "removed"
"""Folder of the objects that are set aside."""
UNAVAILABLE = "the bucket does not work"
"""Text at /readyz, which is public; the reason is in the log."""
log = structlog.get_logger()


class BucketBlobs:
    """Blobs in the local directory, from which clients are served, and in the bucket, for other replicas. Above `bytes_max` the
    oldest local copies are removed."""

    def __init__(self, local: FolderBlobs, bucket: ObjectBucket, bytes_max: int, now_ms: Callable[[], int]):
        self._local = local
        self.adopt, self.names = local.adopt, local.names
        self._bucket = bucket
        self._bytes_max = bytes_max
        self._now_ms = now_ms
        self._marks = UploadMarks(local.directory / "waiting")
        self._wake = asyncio.Event()
        self._wake.set()
        self.problem: str | None = None

    @property
    def directory(self) -> Path:
        return self._local.directory

    def create(self, request_id: str) -> Spool:
        return self._local.create(request_id)

    async def share(self, request_id: str, until_ms: int) -> None:
        """Upload within SHARE_S. When that fails, or has just failed for another blob, upload later in the background."""
        if not self._local.has(request_id):  # It came from the bucket.
            return
        await self._local.share(request_id, until_ms)
        if self.problem is None:
            try:
                await self._bucket.upload(request_id, self._local.path(request_id), SHARE_S)
                return
            except Exception as exc:  # No error may lose the answer, which is paid for and stored here.
                self._note_failure(exc)
        self._marks.add(request_id, until_ms)
        self._wake.set()

    async def open(self, request_id: str, *, just_made: bool = False) -> Spool | None:
        if (spool := await self._local.open(request_id)) is not None:
            return spool
        # A command on another machine may find no directory, which must not look like an object that is gone.
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        spool = Spool(self.directory, memory_bytes_max=MEMORY_BYTES_MAX)
        try:
            await self._bucket.fetch(request_id, spool)
        except FileNotFoundError:
            spool.close()
            if just_made:
                raise BlobUnavailable(
                    "The stored answer has not reached this replica yet. Nothing is bought; try again."
                ) from None
            return None
        except Exception as exc:
            spool.close()
            log.warning("a stored answer cannot be fetched", request_id=request_id, reason=reason(exc))
            self._wake.set()
            raise BlobUnavailable(
                "The stored answer cannot be fetched right now. Nothing is bought; try again."
            ) from exc
        return spool

    async def listed(self) -> AsyncGenerator[StoredBlob, None]:
        last = ""
        try:
            async for blob in self._bucket.listed():
                if fnmatchcase(blob.name, self._local.pattern):
                    if blob.name <= last:
                        raise BlobUnavailable(
                            "The bucket does not list its objects by name, so they cannot be compared."
                        )
                    last = blob.name
                    yield blob
        except BlobUnavailable:
            raise
        except Exception as exc:
            raise BlobUnavailable(f"The bucket cannot be listed: {reason(exc)}.") from exc

    async def remove(self, request_ids: Sequence[str]) -> None:
        await self._local.remove(request_ids)
        for request_id in request_ids:
            self._marks.done(request_id)
        with self._removing():
            await self._bucket.remove(request_ids)

    async def set_aside(self, names: Sequence[str]) -> None:
        """Set objects aside, and remove the local copies: only the object can be put back."""
        with self._removing():
            await self._bucket.copy([(name, f"{ASIDE}/{name}") for name in names])
            await self._bucket.remove(names)
        await self._local.remove(names)
        for name in names:
            self._marks.done(name)

    async def put_back(self, names: Sequence[str]) -> None:
        with self._removing():
            await self._bucket.copy([(f"{ASIDE}/{name}", name) for name in names])
            await self._bucket.remove([f"{ASIDE}/{name}" for name in names])

    async def remove_aside(self, names: Sequence[str]) -> None:
        with self._removing():
            await self._bucket.remove([f"{ASIDE}/{name}" for name in names])

    async def left_aside(self, before_s: float) -> list[str]:
        try:
            found = [blob async for blob in self._bucket.listed(ASIDE) if blob.written_s < before_s]
        except Exception as exc:  # The bucket may work and allow no lists.
            raise BlobUnavailable(f"The folder {ASIDE} of the bucket cannot be listed: {reason(exc)}.") from exc
        return [blob.name.removeprefix(f"{ASIDE}/") for blob in found]

    async def has_all(self, names: Sequence[str]) -> bool:
        with self._removing():
            return await self._bucket.has_all(names)

    @contextmanager
    def _removing(self) -> Iterator[None]:
        """Raise BlobUnavailable for every failure of the bucket, and at once after one."""
        if self.problem is not None:
            raise BlobUnavailable(self.problem)
        try:
            yield
        except Exception as exc:
            self._note_failure(exc)
            raise BlobUnavailable("The bucket does not work now; try again later.") from exc

    def tidy(self, keep_s: float, spared: Container[str] = ()) -> int:
        """Remove local copies: the replica that prunes a row removes its object but not the copies of other replicas."""
        return self.drop_copies() + self._local.tidy(keep_s, spared)

    def drop_copies(self) -> int:
        young_s, room_bytes, excess = time.time() - YOUNG_MS / 1000, self._bytes_max, []
        for path, written_s, size_bytes in self._local.files():
            room_bytes -= size_bytes
            if room_bytes < 0 and written_s < young_s and path.name not in self._marks:
                excess.append(path)
        return self._local.drop(excess)

    def chores(self) -> tuple[Chore, ...]:
        uploads = Chore(
            f"uploads of {self._local.kind}", self.upload_waiting, every_s=0, last_turn=self._upload_before_exit
        )
        return (*self._local.chores(), uploads)

    async def upload_waiting(self) -> None:
        """Wait for a failure or a mark, check the bucket, then upload all marked blobs. Raises BlobUnavailable."""
        await self._wake.wait()
        self._wake.clear()
        try:
            await self._upload_all_marked()
        except BaseException:
            self._wake.set()
            raise

    async def _upload_before_exit(self) -> None:
        if self._marks.pending(self._now_ms()):
            async with asyncio.timeout(CHECK_S):
                await self._upload_all_marked()

    async def _upload_all_marked(self) -> None:
        if (failure := await self._bucket.check()) is not None:
            self._note_reason(failure)
            raise BlobUnavailable(UNAVAILABLE)
        self.problem = None
        try:
            for request_id in self._marks.pending(self._now_ms()):
                await self._upload_marked(request_id)
        except Exception as exc:
            self._note_failure(exc)
            raise BlobUnavailable(UNAVAILABLE) from exc

    async def _upload_marked(self, request_id: str) -> None:
        if self._local.has(request_id):
            await self._bucket.upload(request_id, self._local.path(request_id), UPLOAD_S)
            log.info("a blob was uploaded late", name=request_id, kind=self._local.kind)
        self._marks.done(request_id)

    def _note_failure(self, exc: Exception) -> None:
        self._note_reason(reason(exc))
        self._wake.set()

    def _note_reason(self, failure: str) -> None:
        if self.problem is None:
            log.error("the bucket for results does not work; answers are uploaded later", reason=failure)
        self.problem = UNAVAILABLE


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UploadMarks:
    """Marks of blobs that still have to be uploaded: empty files whose mtime is the expiry. They survive a restart."""

    directory: Path

    def add(self, request_id: str, until_ms: int) -> None:
        mark = self.directory / request_id
        try:
            self.directory.mkdir(mode=0o700, exist_ok=True)
            mark.touch(mode=0o600)
            os.utime(mark, (until_ms / 1000, until_ms / 1000))
        except OSError as exc:
            log.error("a stored answer stays on this replica", request_id=request_id, error=exc.strerror)

    def done(self, request_id: str) -> None:
        (self.directory / request_id).unlink(missing_ok=True)

    def pending(self, now_ms: int) -> list[str]:
        """List the names to upload, and remove expired marks. The order is random, so that a blob which the bucket refuses does
        not block the same others for ever."""
        found = []
        for mark in self.directory.glob("*"):
            with suppress(FileNotFoundError):
                if mark.stat().st_mtime * 1000 > now_ms:
                    found.append(mark.name)
                else:
                    mark.unlink()
        random.shuffle(found)
        return found

    def __contains__(self, request_id: str) -> bool:
        return (self.directory / request_id).exists()
