"""The stored answers: one per request, small ones in memory until they are settled, larger ones in a file named by request id.

A file is not synced: it survives the process, and after a power cut it is read again before it is believed.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from app.spool import Spool, open_file

MEMORY_BYTES_MAX = 32 * 1024


@dataclass(frozen=True, slots=True)
class Results:
    """A local directory. What is older than `keep_s` seconds is pruned."""

    directory: Path
    keep_s: float

    def create(self, request_id: str) -> Spool:
        """To be written while the answer passes."""
        return Spool(self.directory, path=self._path(request_id), memory_bytes_max=MEMORY_BYTES_MAX)

    def open(self, request_id: str) -> Spool | None:
        """What an earlier process wrote, perhaps not to its end; None when there is nothing."""
        try:
            return open_file(self._path(request_id))
        except FileNotFoundError:
            return None

    def prune(self) -> int:
        """Remove what has been kept long enough; how many files went."""
        oldest_s, pruned = time.time() - self.keep_s, 0
        for path in self.directory.glob("req_*"):
            if path.stat().st_mtime < oldest_s:
                path.unlink(missing_ok=True)
                pruned += 1
        return pruned

    def _path(self, request_id: str) -> Path:
        return self.directory / request_id
