"""Blobs in a directory and an S3 bucket, for replicas that share no directory.

An answer is uploaded before it is settled, so that every replica can replay a settled request. While the bucket is unavailable,
answers are settled all the same, and uploaded from their files later.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Container, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, cast

import structlog

from app.blobs.folder import LISTED_AT_ONCE, MEMORY_BYTES_MAX, YOUNG_MS, BlobUnavailable, FolderBlobs, StoredBlob
from app.blobs.upload_marks import UploadMarks
from app.chores import Chore
from app.errors import ConfigurationError
from app.spool import CHUNK_BYTES, Spool

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

SHARE_S = 10.0
"""Longest time that a client waits for an upload; then the answer is sent, and the upload is retried in the background."""
UPLOAD_S = 300.0
FETCH_S = 60.0
REMOVE_S = 30.0
CHECK_S = 5.0
PART_BYTES = 5 * 1024 * 1024
"""Smallest part of an upload that S3 accepts; an upload holds two of them in memory."""
PARTS_AT_ONCE = 2
UPLOADS_AT_ONCE = 8
FETCHES_AT_ONCE = 16
UNAVAILABLE = "the bucket does not work"
"""Text at /readyz, which is public; the reason is in the log."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """Address and keys of a bucket. `url` is `s3://bucket/prefix`; obstore reads fields that are None from the `AWS_*` variables
    of the environment, or from the machine's role."""

    url: str
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None


class ObjectBucket:
    """Objects in a bucket, by name. Raises FileNotFoundError for an absent one; other failures are any `Exception`."""

    def __init__(self, store: "S3Store"):
        self._store = store
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._fetches = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def upload(self, name: str, path: Path, timeout_s: float) -> None:
        """Upload a file in parts; the object appears complete or not at all."""
        async with asyncio.timeout(timeout_s), self._uploads:
            await self._store.put_async(name, path, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    async def fetch(self, name: str, into: Spool) -> None:
        async with asyncio.timeout(FETCH_S), self._fetches:
            found = await self._store.get_async(name)
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                into.write(memoryview(chunk))

    async def listed(self) -> AsyncGenerator[StoredBlob, None]:
        """Yield the objects by their names."""
        async for batch in self._store.list(chunk_size=LISTED_AT_ONCE):
            for each in batch:
                yield StoredBlob(each["path"], each["size"], each["last_modified"].timestamp())

    async def remove(self, names: Sequence[str]) -> None:
        async with asyncio.timeout(REMOVE_S):
            await self._store.delete_async(names)

    async def check(self) -> str | None:
        """Write, read and remove a small object; returns the reason of a failure, None after success."""
        name = f"trial_{secrets.token_hex(8)}"
        try:
            async with asyncio.timeout(CHECK_S):
                await self._store.put_async(name, b"imagegate")
                await self._store.get_async(name)
                await self._store.delete_async(name)
        except Exception as exc:
            return reason(exc)
        return None


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
        if self.problem is not None:
            raise BlobUnavailable(self.problem)
        try:
            await self._bucket.remove(request_ids)
        except Exception as exc:
            self._note_failure(exc)
            raise BlobUnavailable("The bucket does not let go of old answers.") from exc

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


def open_bucket(address: BucketAddress) -> ObjectBucket:
    """Open a bucket; it connects at its first use. Raises ConfigurationError for a bad URL, or when obstore is not installed."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise ConfigurationError(
            'IMAGEGATE_RESULTS_URL needs a package that is not installed: pip install "imagegate[s3]".'
        ) from None
    fields = {
        "endpoint": address.endpoint,
        "region": address.region,
        "access_key_id": address.access_key_id,
        "secret_access_key": address.secret_access_key,
    }
    config = cast("S3Config", {name: value for name, value in fields.items() if value is not None})
    # TLS is used when the endpoint is https.
    options: ClientConfig = {"allow_http": True, "connect_timeout": "3s", "read_timeout": "5s", "timeout": "60s"}
    try:
        if not address.url.startswith("s3://"):
            raise ValueError(address.url)
        store = S3Store.from_url(
            address.url,
            config=config,
            client_options=options,
            retry_config={"max_retries": 1, "retry_timeout": timedelta(seconds=10)},
        )
    except (BaseError, ValueError):
        raise ConfigurationError("IMAGEGATE_RESULTS_URL must be like s3://bucket/prefix.") from None
    return ObjectBucket(store)


def reason(exc: BaseException) -> str:
    """Return the error code of the store's answer, else the first line of obstore's message; later lines are its internals."""
    if isinstance(exc, TimeoutError):
        return "no answer"
    if code := re.search(r"<Code>(\w+)</Code>", str(exc)):
        return f"the store says {code[1]}"
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0].strip()
