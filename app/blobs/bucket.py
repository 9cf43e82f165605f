"""Blobs in a bucket of S3's kind as well, for replicas that share no directory.

An answer is uploaded before it is settled, so that a row that says "settled" can be replayed by every replica. A bucket that is
away costs nobody a picture: it is settled all the same, and uploaded from its file once the bucket is back.
"""

import asyncio
import os
import random
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import structlog

from app.blobs.folder import MEMORY_BYTES_MAX, YOUNG_MS, BlobUnavailable, FolderBlobs
from app.chores import Chore
from app.errors import ConfigurationError
from app.spool import CHUNK_BYTES, Spool

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

SHARE_S = 10.0
"""Longest time that a client waits for an upload; then its answer goes out, and the upload is tried again without it."""
UPLOAD_S = 300.0
FETCH_S = 60.0
REMOVE_S = 30.0
TRIAL_S = 5.0
PART_BYTES = 5 * 1024 * 1024
"""Smallest part of an upload that S3 takes; an upload holds two of them in memory."""
PARTS_AT_ONCE = 2
UPLOADS_AT_ONCE = 8
FETCHES_AT_ONCE = 16
AWAY = "the bucket does not work"
"""Anybody may read it at /readyz: the reason is in the log."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """Address and keys of a bucket. `url` is `s3://bucket/prefix`; obstore takes what is None from the `AWS_*` variables of the
    environment, or from the machine it runs on."""

    url: str
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None


class ObjectBucket:
    """Objects by name. Raises FileNotFoundError where there is none; `Exception` for all else that can go wrong."""

    def __init__(self, store: "S3Store"):
        self._store = store
        self._uploads = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._fetches = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def upload(self, name: str, path: Path, timeout_s: float) -> None:
        """Upload a file, part by part; the object is there as a whole or not at all."""
        async with asyncio.timeout(timeout_s), self._uploads:
            await self._store.put_async(name, path, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)

    async def fetch(self, name: str, into: Spool) -> None:
        async with asyncio.timeout(FETCH_S), self._fetches:
            found = await self._store.get_async(name)
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                into.write(memoryview(chunk))

    async def remove(self, names: Sequence[str]) -> None:
        async with asyncio.timeout(REMOVE_S):
            await self._store.delete_async(names)

    async def check(self) -> str | None:
        """Write, read and remove a small object of its own; returns what went wrong, None when all went well."""
        name = f"trial_{secrets.token_hex(8)}"
        try:
            async with asyncio.timeout(TRIAL_S):
                await self._store.put_async(name, b"imagegate")
                await self._store.get_async(name)
                await self._store.delete_async(name)
        except Exception as exc:
            return reason(exc)
        return None


@dataclass(frozen=True, slots=True)
class UploadMarks:
    """Marks of blobs still to be uploaded: an empty file each, whose time is the end of its worth. They survive a restart."""

    directory: Path

    def add(self, request_id: str, until_ms: int) -> None:
        mark = self.directory / request_id
        try:
            mark.touch(mode=0o600)
            os.utime(mark, (until_ms / 1000, until_ms / 1000))
        except OSError as exc:
            log.error("a stored answer stays on this replica", request_id=request_id, error=exc.strerror)

    def done(self, request_id: str) -> None:
        (self.directory / request_id).unlink(missing_ok=True)

    def pending(self, now_ms: int) -> list[str]:
        """List names still worth uploading, and forget the others. In random order: one that the bucket will not take must not
        keep the same others from it for ever."""
        found = []
        for mark in self.directory.iterdir():
            with suppress(FileNotFoundError):
                if mark.stat().st_mtime * 1000 > now_ms:
                    found.append(mark.name)
                else:
                    mark.unlink()
        random.shuffle(found)
        return found

    def __contains__(self, request_id: str) -> bool:
        return (self.directory / request_id).exists()


class BucketBlobs:
    """Blobs in the local directory, from where they go to their client, and in the bucket, for other replicas. Above `bytes_max`
    the oldest local copies are dropped."""

    def __init__(self, local: FolderBlobs, bucket: ObjectBucket, bytes_max: int, now_ms: Callable[[], int]):
        self._local = local
        self._bucket = bucket
        self._bytes_max = bytes_max
        self._now_ms = now_ms
        self._marks = UploadMarks(local.directory / "waiting")
        self._marks.directory.mkdir(mode=0o700, exist_ok=True)
        self._wake = asyncio.Event()
        self._wake.set()
        self.complaint: str | None = None

    @property
    def directory(self) -> Path:
        return self._local.directory

    def create(self, request_id: str) -> Spool:
        return self._local.create(request_id)

    async def share(self, request_id: str, until_ms: int) -> None:
        """Upload within SHARE_S; later, where that fails or has just failed for another blob."""
        if not self._local.has(request_id):  # It came from the bucket.
            return
        await self._local.share(request_id, until_ms)
        if self.complaint is None:
            try:
                await self._bucket.upload(request_id, self._local.path(request_id), SHARE_S)
                return
            except Exception as exc:  # Whatever it is: the picture is paid for, and lies here.
                self._complain(exc)
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

    async def remove(self, request_ids: Sequence[str]) -> None:
        await self._local.remove(request_ids)
        for request_id in request_ids:
            self._marks.done(request_id)
        if self.complaint is not None:
            raise BlobUnavailable(self.complaint)
        try:
            await self._bucket.remove(request_ids)
        except Exception as exc:
            self._complain(exc)
            raise BlobUnavailable("The bucket does not let go of old answers.") from exc

    def tidy(self, keep_s: float) -> int:
        """Drop local copies. The replica that prunes a row prunes its object too, and knows nothing of the copy here."""
        young_s, room_bytes, above = time.time() - YOUNG_MS / 1000, self._bytes_max, []
        for path, written_s, size_bytes in self._local.files():
            room_bytes -= size_bytes
            if room_bytes < 0 and written_s < young_s and path.name not in self._marks:
                above.append(path)
        return self._local.drop(above) + self._local.tidy(keep_s)

    def chores(self) -> tuple[Chore, ...]:
        uploads = Chore("uploads", self.upload_waiting, every_s=0, last_turn=self._upload_last)
        return (*self._local.chores(), uploads)

    async def upload_waiting(self) -> None:
        """Wait until something has gone wrong or waits, try the bucket, then upload what waits. Raises BlobUnavailable."""
        await self._wake.wait()
        self._wake.clear()
        try:
            await self._catch_up()
        except BaseException:
            self._wake.set()
            raise

    async def _upload_last(self) -> None:
        if self._marks.pending(self._now_ms()):
            async with asyncio.timeout(TRIAL_S):
                await self._catch_up()

    async def _catch_up(self) -> None:
        if (wrong := await self._bucket.check()) is not None:
            self._note_reason(wrong)
            raise BlobUnavailable(AWAY)
        self.complaint = None
        try:
            for request_id in self._marks.pending(self._now_ms()):
                await self._upload_late(request_id)
        except Exception as exc:
            self._complain(exc)
            raise BlobUnavailable(AWAY) from exc

    async def _upload_late(self, request_id: str) -> None:
        if self._local.has(request_id):
            await self._bucket.upload(request_id, self._local.path(request_id), UPLOAD_S)
            log.info("a stored answer was uploaded late", request_id=request_id)
        self._marks.done(request_id)

    def _complain(self, exc: Exception) -> None:
        self._note_reason(reason(exc))
        self._wake.set()

    def _note_reason(self, wrong: str) -> None:
        if self.complaint is None:
            log.error("the bucket for results does not work; answers are uploaded later", reason=wrong)
        self.complaint = AWAY


def open_bucket(address: BucketAddress) -> ObjectBucket:
    """Open a bucket; it connects at its first use. Raises ConfigurationError for a bad URL, and where obstore is absent."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise ConfigurationError(
            'IMAGEGATE_RESULTS_URL needs a package that is not installed: pip install "imagegate[s3]".'
        ) from None
    given = {
        "endpoint": address.endpoint,
        "region": address.region,
        "access_key_id": address.access_key_id,
        "secret_access_key": address.secret_access_key,
    }
    config = cast("S3Config", {name: value for name, value in given.items() if value is not None})
    # The endpoint decides about TLS.
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
    """Extract the code of the store's own answer, else the first line of obstore's message: behind it come its inner parts."""
    if isinstance(exc, TimeoutError):
        return "no answer"
    if code := re.search(r"<Code>(\w+)</Code>", str(exc)):
        return f"the store says {code[1]}"
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0].strip()
