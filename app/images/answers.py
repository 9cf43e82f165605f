"""The stored answers: small ones in the row that settles them, larger ones in a file named by request id.

A file is not synced: it survives the process, and after a power cut it is read again before it is believed.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from app.blobs.folder import MEMORY_BYTES_MAX, YOUNG_MS, ResultAway, ResultFiles
from app.errors import StorageFull
from app.spool import Slice, Spool
from app.store.ledger.types import StoredResult
from app.store.results import ResultRows

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
class Results:
    """Where the files lie, and the rows that say what is kept."""

    files: ResultFiles
    rows: ResultRows
    retention: RetentionPolicy

    def create(self, request_id: str) -> Spool:
        """To be written while the answer passes."""
        return self.files.create(request_id)

    @property
    def directory(self) -> Path:
        return self.files.directory

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
            await self.files.share(request_id, result.expires_at_ms)

    async def load(self, request_id: str, now_ms: int) -> Spool | None:
        """The stored answer, to be read and closed; None when there is none, or none any more. Raises ResultAway when there
        is one that cannot be had right now."""
        row = await self.rows.find(request_id)
        if row is None or row.expires_at_ms <= now_ms:
            return None
        if row.body is None:
            return await self.files.open(request_id, just_made=row.created_at_ms > now_ms - YOUNG_MS)
        spool = Spool(self.directory, memory_bytes_max=MEMORY_BYTES_MAX)
        spool.write(row.body)
        return spool

    async def reread(self, request_id: str) -> Spool | None:
        """What was written to the file, perhaps not to its end; None when there is no file. Raises ResultAway."""
        return await self.files.open(request_id)

    async def prune(self, now_ms: int) -> int:
        """Remove what has been kept long enough, then the oldest above the cap; how many went. What a bucket does not let go
        of keeps its row, and is tried again."""
        pruned = await asyncio.to_thread(self.files.tidy, 2 * self.retention.long_s)  # It looks at every file there is.
        gone = await self.rows.expired(now_ms)
        gone += await self.rows.beyond(self.retention.bytes_max, now_ms - YOUNG_MS)
        if not gone:
            return pruned
        try:
            await self.files.remove(gone)
        except ResultAway:
            return pruned
        await self.rows.forget(gone)
        return len(gone) + pruned
