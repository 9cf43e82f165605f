"""The stored answers: small ones in the row that settles them, larger ones in a file named by request id.

A file is not synced: it survives the process, and after a power cut it is read again before it is believed.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.errors import StorageFull
from app.spool import Slice, Spool, open_file
from app.store.purchases import StoredResult
from app.store.results import ResultRows

MEMORY_BYTES_MAX = 32 * 1024
YOUNG_MS = 15 * 60 * 1000
"""What is younger is never dropped, however much lies there: its client may still be on the way."""
FULL = "The gateway has no room left to store an answer; nothing was bought. An administrator has to make room."


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long an answer is kept: `long_s` where somebody is expected to come for it again, else `short_s`."""

    short_s: float
    long_s: float
    bytes_max: int
    free_bytes_min: int

    def seconds(self, *, expected: bool) -> float:
        return self.long_s if expected else self.short_s


@dataclass(frozen=True, slots=True)
class Results:
    """A directory, on this machine or shared by all replicas, and the rows that say what is kept."""

    directory: Path
    rows: ResultRows
    keeping: Keeping

    def create(self, request_id: str) -> Spool:
        """To be written while the answer passes."""
        return Spool(self.directory, path=self._path(request_id), memory_bytes_max=MEMORY_BYTES_MAX)

    def check_room(self) -> None:
        """Raises StorageFull while there is little left: an answer that cannot be stored would be paid and lost."""
        space = os.statvfs(self.directory)
        if space.f_bavail * space.f_frsize < self.keeping.free_bytes_min:
            raise StorageFull(FULL)

    def stored(self, spool: Spool, now_ms: int, *, expected: bool) -> StoredResult:
        """What the settlement says of an answer that was read to its end."""
        body = None if spool.in_file else spool.read(Slice(0, spool.size_bytes))
        expires_at_ms = now_ms + int(self.keeping.seconds(expected=expected) * 1000)
        return StoredResult(body, spool.size_bytes, now_ms, expires_at_ms)

    async def load(self, request_id: str, now_ms: int) -> Spool | None:
        """The stored answer, to be read and closed; None when there is none, or none any more."""
        row = await self.rows.find(request_id)
        if row is None or row.expires_at_ms <= now_ms:
            return None
        if row.body is None:
            return self.reread(request_id)
        spool = Spool(self.directory, memory_bytes_max=MEMORY_BYTES_MAX)
        spool.write(row.body)
        return spool

    def reread(self, request_id: str) -> Spool | None:
        """What was written to the file, perhaps not to its end; None when there is no file."""
        try:
            return open_file(self._path(request_id))
        except FileNotFoundError:
            return None

    async def prune(self, now_ms: int) -> int:
        """Remove what has been kept long enough, then the oldest above the cap; how many went."""
        gone = await self.rows.expired(now_ms)
        gone += await self.rows.beyond(self.keeping.bytes_max, now_ms - YOUNG_MS)
        for request_id in gone:
            self._path(request_id).unlink(missing_ok=True)
        if gone:
            await self.rows.forget(gone)
        return len(gone) + self._prune_strays()

    def _prune_strays(self) -> int:
        """Files no row tells of any more: their requests never ended well, and nobody will ask for them."""
        oldest_s, pruned = time.time() - 2 * self.keeping.long_s, 0
        for path in self.directory.glob("req_*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest_s:
                    path.unlink()
                    pruned += 1
        return pruned

    def _path(self, request_id: str) -> Path:
        return self.directory / request_id
