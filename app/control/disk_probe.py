"""Probe of the disk that holds the data directory: room, and whether a write reaches it."""

import asyncio
import errno
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

WAIT_S = 3.0
"""Longest time that one check waits for a write; a later check finds its result."""
SLOW_S = 10.0
"""Time after which a write that has not ended counts as failed."""
PROBE_BYTES = 4096
_OWN_LACK = (errno.EMFILE, errno.ENFILE)
"""Errors for want of descriptors, which say nothing about the disk."""


@dataclass(slots=True)
class DiskProbe:
    """Disk of `folder`. Every `every_s` at most a file is written, fsynced and removed, however often `check` is called: free bytes
    do not show a lack of inodes, a quota, or a file system that became read-only."""

    folder: Path
    free_bytes_min: int
    every_s: float = 5.0
    _found: str = field(default="ok", init=False)
    _began_s: float = field(default=float("-inf"), init=False)
    _write: asyncio.Task[str | None] | None = field(default=None, init=False)

    async def check(self) -> str:
        """Return `ok`, or what is wrong and how to mend it. Never raises."""
        try:
            free_bytes = shutil.disk_usage(self.folder).free
        except OSError as exc:
            return f"cannot be read: {exc.strerror}"
        if free_bytes < self.free_bytes_min:
            return f"only {free_bytes // 1024} KiB free"
        if self._write is None and time.monotonic() - self._began_s >= self.every_s:
            self._began_s = time.monotonic()
            self._write = asyncio.create_task(asyncio.to_thread(_why_not_written, self.folder))
        if (write := self._write) is not None:
            await asyncio.wait([write], timeout=WAIT_S)
            self._note(write)
        return self._found

    def _note(self, write: asyncio.Task[str | None]) -> None:
        if write.done():
            self._write = None
            self._found = write.result() or self._found
        elif (took_s := time.monotonic() - self._began_s) > SLOW_S:
            self._found = f"cannot be written to: a write has not ended for {took_s:.0f} s"


def _why_not_written(folder: Path) -> str | None:
    """Write a file without a name; return `ok`, the problem, or None where it cannot be told."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(PROBE_BYTES))
            os.fsync(file.fileno())
    except OSError as exc:
        if exc.errno in _OWN_LACK:
            return None
        return f"cannot be written to: {exc.strerror}{_hint(folder, exc)}"
    return "ok"


def _hint(folder: Path, exc: OSError) -> str:
    if exc.errno == errno.ENOSPC and os.statvfs(folder).f_favail == 0:
        return " (no inodes are left: remove files)"
    return ""
