"""Objects in an S3 bucket, and the address of that."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

from app.blobs.folder import LISTED_AT_ONCE, StoredBlob
from app.errors import ConfigurationError
from app.spool import CHUNK_BYTES, Spool

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Config, S3Store

FETCH_S = 60.0
REMOVE_S = 30.0
COPY_S = 60.0
CHECK_S = 5.0
PART_BYTES = 5 * 1024 * 1024
"""Smallest part of an upload that S3 accepts; an upload holds two of them in memory."""
PARTS_AT_ONCE = 2
UPLOADS_AT_ONCE = 8
FETCHES_AT_ONCE = 16


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

    async def listed(self, folder: str | None = None) -> AsyncGenerator[StoredBlob, None]:
        """Yield the objects, all or those of a folder, by their names."""
        async for batch in self._store.list(folder, chunk_size=LISTED_AT_ONCE):
            for each in batch:
                yield StoredBlob(each["path"], each["size"], each["last_modified"].timestamp())

    async def remove(self, names: Sequence[str]) -> None:
        async with asyncio.timeout(REMOVE_S):
            await self._store.delete_async(names)

    async def copy(self, names: Sequence[tuple[str, str]]) -> None:
        """Copy objects within the bucket, each from one name to another; absent ones are left out."""

        async def one(source: str, target: str) -> None:
            async with self._fetches:
                with suppress(FileNotFoundError):
                    await self._store.copy_async(source, target)

        async with asyncio.timeout(COPY_S):
            await asyncio.gather(*(one(source, target) for source, target in names))

    async def has_all(self, names: Sequence[str]) -> bool:
        """Return whether there are objects of all these names."""
        async with asyncio.timeout(REMOVE_S), self._fetches:
            for name in names:
                try:
                    await self._store.head_async(name)
                except FileNotFoundError:
                    return False
        return True

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
