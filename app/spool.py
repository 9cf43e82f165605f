"""Bytes set aside: small ones in memory, larger ones in a file, read back by offset.

Uploads wait here to be sent to the relay and answers to be sent to the client, so that memory stays flat whatever their size.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 128 * 1024
"""The most that is read back at a time. Of a body that is being sent, up to three chunks lie in memory."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`length` bytes that lie in a spool from `offset` on."""

    offset: int
    length: int


Segments = list[bytes | Slice]
"""A body made of our own bytes and of slices that still lie in a spool."""


def segments_bytes(segments: Segments) -> int:
    """The length of a body, in bytes."""
    return sum(piece.length if isinstance(piece, Slice) else len(piece) for piece in segments)


def segments_chunks(segments: Segments, spool: "Spool") -> Iterator[bytes]:
    """A body, chunk by chunk; those from the spool have CHUNK_BYTES at most. Raises EOFError as `Spool.chunks` does."""
    for segment in segments:
        if isinstance(segment, Slice):
            yield from spool.chunks(segment)
        else:
            yield segment


class Spool:
    """Append, then read. Not for use by two threads at once.

    With a `path` the file keeps that name and outlives the process; without one it has no name and vanishes when it is closed.
    It is created with the first byte beyond `memory_bytes_max`.
    """

    def __init__(self, directory: Path, *, path: Path | None = None, memory_bytes_max: int = 32 * 1024):
        self._directory = directory
        self._path = path
        self._memory_bytes_max = memory_bytes_max
        self._memory = bytearray()
        self._fd: int | None = None
        self.size_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises OSError when the disk is full."""
        if self._fd is None and self.size_bytes + len(data) <= self._memory_bytes_max:
            self._memory += data
        else:
            if self._fd is None:
                self._fd = self._open()
                self._write_all(self._memory)
                self._memory = bytearray()
            self._write_all(data)
        self.size_bytes += len(data)

    @property
    def in_file(self) -> bool:
        return self._fd is not None

    def chunks(self, piece: Slice) -> Iterator[bytes]:
        """The bytes of `piece`, CHUNK_BYTES at a time. Raises EOFError when fewer were written."""
        at, end = piece.offset, piece.offset + piece.length
        while at < end:
            data = self.read(Slice(at, min(CHUNK_BYTES, end - at)))
            if not data:
                raise EOFError(f"spool holds {self.size_bytes} bytes, asked for {end}")
            yield data
            at += len(data)

    def read(self, piece: Slice) -> bytes:
        """The bytes of `piece` at once, as far as they were written. Only for small ones: they are read in the event loop."""
        if self._fd is None:
            return bytes(self._memory[piece.offset : piece.offset + piece.length])
        return os.pread(self._fd, piece.length, piece.offset)

    def sync(self) -> None:
        """Make a named file survive a power cut."""
        if self._fd is not None:
            os.fsync(self._fd)

    def keep(self) -> None:
        """Put what is still in memory into the named file too, so that another process can read it."""
        if self._fd is None:
            self._fd = self._open()
            self._write_all(self._memory)

    def close(self) -> None:
        """Idempotent. A named file stays."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        self._memory = bytearray()
        self.size_bytes = 0

    def __del__(self) -> None:
        """Close the file of an answer that no client waited for."""
        self.close()

    def _open(self) -> int:
        if self._path is not None:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fd, name = tempfile.mkstemp(dir=self._directory, prefix="spool-")
        Path(name).unlink()
        return fd

    def _write_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]  # type: ignore[arg-type]  # open by now


def open_file(path: Path) -> Spool:
    """A spool over a file written earlier, for reading. Raises FileNotFoundError."""
    spool = Spool(path.parent, path=path)
    spool._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    spool.size_bytes = os.fstat(spool._fd).st_size
    return spool


def whole(spool: Spool) -> Iterator[bytes]:
    """All bytes of the spool, chunk by chunk."""
    return spool.chunks(Slice(0, spool.size_bytes))
