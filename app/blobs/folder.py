"""Where the larger answers lie: in a directory, which all replicas may share, or also in a bucket (`bucket.py`)."""

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.errors import StoreUnavailable
from app.spool import Spool, open_file

MEMORY_BYTES_MAX = 32 * 1024
YOUNG_MS = 15 * 60 * 1000
"""What is younger is never dropped, however much lies there: its client may still be on the way."""

COOL_S = 1.0
"""How long what was written stays in memory at least: it is on its way to the client."""


class BlobUnavailable(StoreUnavailable):
    """An answer that is kept cannot be had right now. Nothing is bought; asking again later can help."""


class Blobs(Protocol):
    """Answers by request id. A new one is always written to `directory` first, so that no bucket can lose what is paid for."""

    @property
    def directory(self) -> Path: ...

    @property
    def complaint(self) -> str | None:
        """What is wrong with sharing them, in a few words; None while all is well."""
        ...

    def create(self, request_id: str) -> Spool:
        """To be written while the answer passes."""
        ...

    async def share(self, request_id: str, until_ms: int) -> None:
        """Let every replica have a file that is written to its end, and is worth something until then. Never raises: what cannot
        be shared now is shared later."""
        ...

    async def open(self, request_id: str, *, just_made: bool = False) -> Spool | None:
        """Open a blob, to be read and closed; None when there is none. Raises BlobUnavailable when that cannot be told, or when
        it was `just_made` by a replica that could not share it yet."""
        ...

    async def remove(self, request_ids: Sequence[str]) -> None:
        """Those that are not there are no mistake. Raises BlobUnavailable; the rest is to be removed again then."""
        ...

    def tidy(self, keep_s: float) -> int:
        """Drop what `remove` will never be told of, and was written more than `keep_s` ago; how many went."""
        ...

    async def run(self) -> None:
        """What there is to do beside the requests, until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class FolderBlobs:
    """A directory. Replicas that are to read each other's answers share it, or use a bucket."""

    directory: Path
    complaint: None = None
    cool_s: float = COOL_S
    _written: list[Path] = field(default_factory=list)
    """To their end, and still in memory."""

    def create(self, request_id: str) -> Spool:
        return Spool(self.directory, path=self.path(request_id), memory_bytes_max=MEMORY_BYTES_MAX)

    async def share(self, request_id: str, until_ms: int) -> None:  # noqa: ARG002  # nothing is to be done by then
        """It lies where the others look already."""
        self._written.append(self.path(request_id))

    async def open(self, request_id: str, *, just_made: bool = False) -> Spool | None:  # noqa: ARG002  # nothing is late here
        try:
            return open_file(self.path(request_id))
        except FileNotFoundError:
            return None

    async def remove(self, request_ids: Sequence[str]) -> None:
        for request_id in request_ids:
            self.path(request_id).unlink(missing_ok=True)

    def tidy(self, keep_s: float) -> int:
        """Files no row tells of any more: their requests never ended well, and nobody will ask for them."""
        return self.drop(path for path, written_s, _ in self.files() if written_s < time.time() - keep_s)

    async def run(self) -> None:
        """Once a second, get what was written out of memory. Most of it nobody comes for again, and it would push out what is
        used; new memory for each answer is also dearer than what the last one had."""
        leaving: list[Path] = []
        while True:
            await asyncio.sleep(self.cool_s)
            written = self._written.copy()
            self._written.clear()
            if leaving or written:
                await asyncio.to_thread(_cool, [*leaving, *written])
            leaving = written  # The first time it begins to be written to the disk; the next time it can go.

    def path(self, request_id: str) -> Path:
        return self.directory / request_id

    def has(self, request_id: str) -> bool:
        return self.path(request_id).exists()

    def files(self) -> list[tuple[Path, float, int]]:
        """Each with the time of its last byte, in seconds, and its bytes; the youngest first."""
        found = []
        for path in self.directory.glob("req_*"):
            with suppress(FileNotFoundError):
                told = path.stat()
                found.append((path, told.st_mtime, told.st_size))
        return sorted(found, key=lambda file: file[1], reverse=True)

    def drop(self, paths: Iterable[Path]) -> int:
        dropped = 0
        for path in paths:
            with suppress(FileNotFoundError):
                path.unlink()
                dropped += 1
        return dropped


def _cool(paths: Iterable[Path]) -> None:
    """Tell the system that these files need not be in memory. What is not on the disk yet begins to be written, and stays."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
