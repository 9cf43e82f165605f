"""Spools: bytes that are kept in memory while they are few, else in a file, and read back by offset.

Uploads for the relay and answers for the client are spooled, so that memory does not grow with their size.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 128 * 1024
"""Most bytes that are read back at a time. Up to three chunks of a body that is being sent are in memory."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Range of a spool: `length` bytes from `offset` on. In a body they are sent as `bytes.translate` changes them by `table`."""

    offset: int
    length: int
    table: bytes | None = None


Segments = list[bytes | Slice]
"""Body made of bytes in memory and of slices of a spool."""


def segments_bytes(segments: Segments) -> int:
    """Return the length of a body, in bytes."""
    return sum(piece.length if isinstance(piece, Slice) else len(piece) for piece in segments)


def segments_chunks(segments: Segments, spool: "Spool") -> Iterator[bytes]:
    """Yield a body in chunks; those from the spool have at most CHUNK_BYTES. Raises EOFError as `Spool.chunks` does."""
    for segment in segments:
        if isinstance(segment, Slice):
            chunks, table = spool.chunks(segment), segment.table
            yield from chunks if table is None else (chunk.translate(table) for chunk in chunks)
        else:
            yield segment


class Spool:
    """Bytes that are appended, then read. Not thread-safe.

    Above `memory_bytes_max` the bytes go to a file. With a `path` the file keeps that name and outlives the process; without one
    it has no name and is gone when it is closed.
    """

    def __init__(self, directory: Path, *, path: Path | None = None, memory_bytes_max: int = 32 * 1024):
        self._directory = directory
        self._path = path
        self._memory_bytes_max = memory_bytes_max
        self._memory = bytearray()
        self._fd: int | None = None
        self._spare_fd: int | None = None
        self.size_bytes = 0

    def reserve_descriptor(self) -> None:
        """Hold a descriptor until the file is opened or the spool is closed, so that the file does not fail for lack of one.

        Raises OSError when none is left.
        """
        if self._spare_fd is None and self._fd is None:
            self._spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes. Raises OSError when the disk is full."""
        if self._fd is None and self.size_bytes + len(data) <= self._memory_bytes_max:
            self._memory += data
        else:
            fd = self._fd if self._fd is not None else self._move_to_file()
            self._memory = bytearray()
            _write_all(fd, data)
        self.size_bytes += len(data)

    @property
    def in_file(self) -> bool:
        return self._fd is not None

    def chunks(self, piece: Slice) -> Iterator[bytes]:
        """Yield the bytes of `piece`, CHUNK_BYTES at a time. Raises EOFError when fewer were written."""
        offset, end = piece.offset, piece.offset + piece.length
        while offset < end:
            data = self.read(Slice(offset, min(CHUNK_BYTES, end - offset)))
            if not data:
                raise EOFError(f"spool holds {self.size_bytes} bytes, asked for {end}")
            yield data
            offset += len(data)

    def read(self, piece: Slice) -> bytes:
        """Return the bytes of `piece`, as far as they were written. Only for small pieces, because it blocks the event loop."""
        if self._fd is None:
            return bytes(self._memory[piece.offset : piece.offset + piece.length])
        return os.pread(self._fd, piece.length, piece.offset)

    def sync(self) -> None:
        """Fsync the file, so that a named one survives a power cut."""
        if self._fd is not None:
            os.fsync(self._fd)

    def keep(self) -> None:
        """Write bytes that are still in memory to the named file, so that another process can read them.

        Raises OSError when the disk is full; the bytes stay readable here.
        """
        if self._fd is None:
            self._move_to_file()

    def close(self) -> None:
        """Close the file; a named one stays. Idempotent."""
        self._release_descriptor()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)
        self._memory = bytearray()
        self.size_bytes = 0

    def __del__(self) -> None:
        """Close the file of an answer that no client has read."""
        self.close()

    def _release_descriptor(self) -> None:
        fd, self._spare_fd = self._spare_fd, None
        if fd is not None:
            os.close(fd)

    def _open(self) -> int:
        self._release_descriptor()
        if self._path is not None:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        fd, name = tempfile.mkstemp(dir=self._directory, prefix="spool-")
        Path(name).unlink()
        return fd

    def _move_to_file(self) -> int:
        """Read from the file only once all is in it: a reader may be at work, and the disk may be full."""
        fd = self._open()
        try:
            _write_all(fd, self._memory)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return fd


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def open_file(path: Path) -> Spool:
    """Open an existing file as a spool, for reading. Raises FileNotFoundError."""
    spool = Spool(path.parent, path=path)
    spool._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    spool.size_bytes = os.fstat(spool._fd).st_size
    return spool


def whole(spool: Spool) -> Iterator[bytes]:
    """Yield all bytes of the spool in chunks."""
    return spool.chunks(Slice(0, spool.size_bytes))
