"""Blobs, such as the larger answers, in a directory that replicas may share; `bucket.py` adds a bucket."""

import asyncio
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.chores import Chore
from app.errors import StoreUnavailable
from app.spool import Spool, open_file

MEMORY_BYTES_MAX = 32 * 1024
YOUNG_MS = 15 * 60 * 1000
"""Younger blobs are never dropped, however much lies there: their client may still be on the way."""

COOL_S = 1.0
"""Shortest time that a written blob stays in memory: it is on its way to the client."""


class BlobUnavailable(StoreUnavailable):
    """A kept blob cannot be had right now. Nothing is bought; asking again later can help."""


class Blobs(Protocol):
    """Bytes by name. A new blob is always written to `directory` first, so that no bucket can lose what is paid for."""

    @property
    def directory(self) -> Path: ...

    @property
    def complaint(self) -> str | None:
        """Short reason why blobs cannot be shared now; None while all is well."""
        ...

    def create(self, request_id: str) -> Spool:
        """Create an empty blob, to be written while the answer passes."""
        ...

    async def share(self, request_id: str, until_ms: int) -> None:
        """Give every replica a blob that is written to its end and expires at `until_ms`. Never raises: what cannot be shared
        now is shared later."""
        ...

    async def open(self, request_id: str, *, just_made: bool = False) -> Spool | None:
        """Open a blob, to be read and closed; None when there is none. Raises BlobUnavailable when that cannot be told, or when
        it was `just_made` by a replica that could not share it yet."""
        ...

    async def remove(self, request_ids: Sequence[str]) -> None:
        """Remove blobs; absent ones are no error. Raises BlobUnavailable, and then the same names are to be removed again."""
        ...

    def tidy(self, keep_s: float) -> int:
        """Drop blobs that no row names any more, written more than `keep_s` ago; returns how many."""
        ...

    def chores(self) -> tuple[Chore, ...]:
        """Work beside the requests."""
        ...


@dataclass(frozen=True, slots=True)
class FolderBlobs:
    """A directory. Replicas that are to read each other's answers share it, or use a bucket."""

    directory: Path
    complaint: None = None
    cool_s: float = COOL_S
    _written: list[Path] = field(default_factory=list)
    """Files that are complete and still in memory."""
    _leaving: list[Path] = field(default_factory=list)
    """Files whose pages the system has begun to write to the disk."""

    def create(self, request_id: str) -> Spool:
        return Spool(self.directory, path=self.path(request_id), memory_bytes_max=MEMORY_BYTES_MAX)

    async def share(self, request_id: str, until_ms: int) -> None:  # noqa: ARG002  # nothing is to be done by then
        """Note the file for cooling; it lies where other replicas look already."""
        self._written.append(self.path(request_id))

    async def open(self, request_id: str, *, just_made: bool = False) -> Spool | None:  # noqa: ARG002  # nothing is late here
        try:
            return open_file(self.path(request_id))
        except FileNotFoundError:
            return None

    async def remove(self, request_ids: Sequence[str]) -> None:
        await asyncio.to_thread(self.drop, [self.path(request_id) for request_id in request_ids])

    def tidy(self, keep_s: float) -> int:
        """Drop files whose requests never ended well: no row names them, and nobody will ask for them."""
        return self.drop(path for path, written_s, _ in self.files() if written_s < time.time() - keep_s)

    def chores(self) -> tuple[Chore, ...]:
        return (Chore("cooling", self.cool, every_s=self.cool_s, first_after_s=self.cool_s),)

    async def cool(self) -> None:
        """Get complete files out of memory. Nobody comes for most of them again, and they would push out what is used; new
        memory for each answer also costs more than reused memory."""
        cooling = [*self._leaving, *self._written]
        self._leaving[:] = (
            self._written
        )  # The first time they begin to be written to the disk; the next time they can go.
        self._written.clear()
        if cooling:
            await asyncio.to_thread(_cool, cooling)

    def path(self, request_id: str) -> Path:
        return self.directory / request_id

    def has(self, request_id: str) -> bool:
        return self.path(request_id).exists()

    def files(self) -> list[tuple[Path, float, int]]:
        """List files with the time of their last byte (s) and their size (bytes); the youngest first."""
        found = []
        for path in self.directory.glob("req_*"):
            with suppress(FileNotFoundError):
                facts = path.stat()
                found.append((path, facts.st_mtime, facts.st_size))
        return sorted(found, key=lambda file: file[1], reverse=True)

    def drop(self, paths: Iterable[Path]) -> int:
        dropped = 0
        for path in paths:
            with suppress(FileNotFoundError):
                path.unlink()
                dropped += 1
        return dropped


def _cool(paths: Iterable[Path]) -> None:
    """Tell the system that these files need not be in memory. Those not on the disk yet begin to be written, and stay."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
