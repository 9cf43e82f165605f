"""Blobs, such as the larger stored answers, in a directory that replicas may share; `bucket.py` adds a bucket."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from app.chores import Chore
from app.errors import StoreUnavailable
from app.spool import Spool, open_file

MEMORY_BYTES_MAX = 32 * 1024
YOUNG_MS = 15 * 60 * 1000
"""Age below which blobs are never removed, however many there are, because their client may still fetch them."""

ASIDE = "removed-"
"""Begin of the name of a file that is set aside."""
LISTED_AT_ONCE = 1000
COOL_S = 1.0
"""Shortest time that a written blob stays in the page cache, from where it is sent to the client."""


class BlobUnavailable(StoreUnavailable):
    """Raised when a stored blob cannot be fetched right now. Nothing is bought; a retry can help."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """Blob in a list. `written_s` is when it was written, in Unix seconds."""

    name: str
    size_bytes: int
    written_s: float


class Blobs(Protocol):
    """Named bytes. A new blob is always written to `directory` first, so that no failure of a bucket loses a paid answer."""

    @property
    def directory(self) -> Path: ...

    @property
    def problem(self) -> str | None:
        """Short reason why blobs cannot be shared now; None without a failure."""
        ...

    def create(self, request_id: str) -> Spool:
        """Create an empty blob, to be written while the answer arrives."""
        ...

    async def share(self, request_id: str, until_ms: int) -> None:
        """Make a complete blob available to all replicas until `until_ms` (Unix ms). Never raises: after a failure it is shared
        later."""
        ...

    async def open(self, request_id: str, *, just_made: bool = False) -> Spool | None:
        """Open a blob; the caller closes it. Return None when there is none. Raises BlobUnavailable when the bucket fails, and for
        an absent blob that is `just_made`: its replica may not have shared it yet."""
        ...

    async def remove(self, request_ids: Sequence[str]) -> None:
        """Remove blobs; absent ones are no error. Raises BlobUnavailable: then the caller removes the same names again later."""
        ...

    async def set_aside(self, names: Sequence[str]) -> None:
        """Take blobs away without removing them; absent ones are no error. Raises BlobUnavailable: repeat it then."""
        ...

    async def put_back(self, names: Sequence[str]) -> None:
        """Undo `set_aside` for blobs that are needed after all. Raises BlobUnavailable."""
        ...

    async def remove_aside(self, names: Sequence[str]) -> None:
        """Remove blobs that were set aside. Raises BlobUnavailable."""
        ...

    async def left_aside(self, before_s: float) -> list[str]:
        """List the blobs that were set aside before `before_s` (Unix s), by processes that died. Raises BlobUnavailable."""
        ...

    async def has_all(self, names: Sequence[str]) -> bool:
        """Return whether all these blobs are there for every replica. Raises BlobUnavailable."""
        ...

    def adopt(self, file: Path, name: str) -> None:
        """Make a complete file of `directory` the blob `name`, which appears whole or not at all. Raises OSError."""
        ...

    def names(self) -> list[str]:
        """List the blobs in `directory`. Blocks."""
        ...

    def listed(self) -> AsyncGenerator[StoredBlob, None]:
        """Yield the blobs by their names: those in the bucket where there is one, else those in `directory`, in steps. Raises
        BlobUnavailable."""
        ...

    def tidy(self, keep_s: float, spared: Container[str] = ()) -> int:
        """Remove blobs that were written more than `keep_s` ago, which no row names any more, except those in `spared`, and copies
        that `drop_copies` removes; returns how many. Blocks."""
        ...

    def drop_copies(self) -> int:
        """Remove the oldest copies of what a bucket holds, above the cap of this folder; returns how many. Blocks."""
        ...

    def chores(self) -> tuple[Chore, ...]: ...


@dataclass(frozen=True, slots=True)
class FolderBlobs:
    """Blobs in a directory. Replicas that replay each other's answers share it, or use a bucket."""

    directory: Path
    pattern: str = "req_*"
    """Pattern of the names of its blobs; other files are left alone."""
    kind: str = "stored answers"
    problem: None = None
    cool_s: float = COOL_S
    _written: list[Path] = field(default_factory=list)
    """Files that are complete and still in the page cache."""
    _writing: list[Path] = field(default_factory=list)
    """Files that the system has begun to write to the disk."""

    def create(self, request_id: str) -> Spool:
        return Spool(self.directory, path=self.path(request_id), memory_bytes_max=MEMORY_BYTES_MAX)

    async def share(self, request_id: str, until_ms: int) -> None:  # noqa: ARG002  # for buckets
        """Note the file for `cool`. It needs no copy: other replicas read the same directory."""
        self._written.append(self.path(request_id))

    async def open(self, request_id: str, *, just_made: bool = False) -> Spool | None:  # noqa: ARG002  # for buckets
        try:
            return open_file(self.path(request_id))
        except FileNotFoundError:
            return None

    async def remove(self, request_ids: Sequence[str]) -> None:
        await asyncio.to_thread(self.drop, [self.path(request_id) for request_id in request_ids])

    async def set_aside(self, names: Sequence[str]) -> None:
        await asyncio.to_thread(self._move, [(self.path(name), self.path(f"{ASIDE}{name}")) for name in names])

    async def put_back(self, names: Sequence[str]) -> None:
        await asyncio.to_thread(self._move, [(self.path(f"{ASIDE}{name}"), self.path(name)) for name in names])

    async def remove_aside(self, names: Sequence[str]) -> None:
        await self.remove([f"{ASIDE}{name}" for name in names])

    async def left_aside(self, before_s: float) -> list[str]:
        return await asyncio.to_thread(self._left_aside, before_s)

    async def has_all(self, names: Sequence[str]) -> bool:
        return all(self.has(name) for name in names)

    def _move(self, names: Iterable[tuple[Path, Path]]) -> None:
        for source, target in names:
            with suppress(FileNotFoundError):
                source.rename(target)

    def _left_aside(self, before_s: float) -> list[str]:
        found = []
        for path in self.directory.glob(f"{ASIDE}{self.pattern}"):
            with suppress(FileNotFoundError):
                if path.stat().st_ctime < before_s:  # The rename sets it.
                    found.append(path.name.removeprefix(ASIDE))
        return found

    def adopt(self, file: Path, name: str) -> None:
        file.rename(self.path(name))
        fd = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)  # Without it a power cut could take the name.
        finally:
            os.close(fd)

    def names(self) -> list[str]:
        return [path.name for path in self.directory.glob(self.pattern)]

    async def listed(self) -> AsyncGenerator[StoredBlob, None]:
        names = sorted(await asyncio.to_thread(self.names))
        for first in range(0, len(names), LISTED_AT_ONCE):
            for blob in await asyncio.to_thread(self._stored, names[first : first + LISTED_AT_ONCE]):
                yield blob

    def _stored(self, names: Sequence[str]) -> list[StoredBlob]:
        found = []
        for name in names:
            with suppress(FileNotFoundError):
                stat = self.path(name).stat()
                found.append(StoredBlob(name, stat.st_size, stat.st_mtime))
        return found

    def tidy(self, keep_s: float, spared: Container[str] = ()) -> int:
        """Remove old files, whose requests did not settle: no row names them."""
        old_s = time.time() - keep_s
        return self.drop(path for path, written_s, _ in self.files() if written_s < old_s and path.name not in spared)

    def drop_copies(self) -> int:
        return 0

    def chores(self) -> tuple[Chore, ...]:
        return (Chore(f"cooling of {self.kind}", self.cool, every_s=self.cool_s, first_after_s=self.cool_s),)

    async def cool(self) -> None:
        """Remove complete files from the page cache. Most are never read again, and would evict pages that are used."""
        cooling = [*self._writing, *self._written]
        # The first call starts the write of a file to the disk; the second one can evict its pages.
        self._writing[:] = self._written
        self._written.clear()
        if cooling:
            await asyncio.to_thread(_cool, cooling)

    def path(self, request_id: str) -> Path:
        return self.directory / request_id

    def has(self, request_id: str) -> bool:
        return self.path(request_id).exists()

    def files(self) -> list[tuple[Path, float, int]]:
        """List files with their mtime (Unix s) and size (bytes), the youngest first."""
        found = []
        for path in self.directory.glob(self.pattern):
            with suppress(FileNotFoundError):
                stat = path.stat()
                found.append((path, stat.st_mtime, stat.st_size))
        return sorted(found, key=lambda file: file[1], reverse=True)

    def drop(self, paths: Iterable[Path]) -> int:
        dropped = 0
        for path in paths:
            with suppress(FileNotFoundError):
                path.unlink()
                dropped += 1
        return dropped


def _cool(paths: Iterable[Path]) -> None:
    """Advise the system to drop these files from the page cache. Pages that are not on the disk yet are written, and stay."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in paths:
        with suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)
