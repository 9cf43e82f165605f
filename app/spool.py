"""Bytes set aside: small ones in memory, larger ones in a file, read back by offset.

Uploads wait here to be sent to the relay and answers to be sent to the client, so that memory stays flat whatever their size.
"""

import os
import tempfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK_BYTES = 128 * 1024
"""What is read back at a time, where `Pieces` does not say otherwise."""
PIECE_BYTES = 64 * 1024
LARGE_PIECES_MAX = 8
SCRATCH_BYTES_MAX = 128 * 1024 * 1024
"""Of files that wait to be written over, on the disk and, as long as nothing else needs it, in the system's memory."""


@dataclass(frozen=True, slots=True)
class Slice:
    """`length` bytes that lie in a spool from `offset` on."""

    offset: int
    length: int


class Readable(Protocol):
    """What can be read back by slices, so much at a time."""

    def chunks(self, piece: Slice, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]: ...


Segments = list[bytes | Slice]
"""A body made of our own bytes and of pieces that still lie in a spool."""


def segments_bytes(segments: Segments) -> int:
    """The length of the whole body."""
    return sum(piece.length if isinstance(piece, Slice) else len(piece) for piece in segments)


def segments_chunks(segments: Segments, spool: Readable, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The body, piece after piece."""
    for piece in segments:
        if isinstance(piece, Slice):
            yield from spool.chunks(piece, chunk_bytes)
        else:
            yield piece


class Pieces:
    """Sends bodies in pieces, of which one to three wait in memory for each that is under way. Large ones cost less: as many as
    LARGE_PIECES_MAX bodies at once are given `large_bytes` at a time, and whoever comes beside them PIECE_BYTES."""

    def __init__(self, large_bytes: int) -> None:
        self._large_bytes = large_bytes
        self._large = 0

    def chunks(self, segments: Segments, spool: Readable) -> Generator[bytes, None, None]:
        """The body, piece after piece; to be closed where it is not read to its end."""
        is_large = self._large < LARGE_PIECES_MAX
        self._large += is_large
        try:
            yield from segments_chunks(segments, spool, self._large_bytes if is_large else PIECE_BYTES)
        finally:
            self._large -= is_large


class Scratch:
    """Files without a name in one directory, written over again and again: on a virtual machine, new memory for an upload of
    10 MB costs a fifth of all that is done with it. `close` lets go of them; so does the end of the process.
    """

    def __init__(self, directory: Path):
        self.directory = directory
        self._idle: list[tuple[int, int]] = []
        self._idle_bytes = 0
        self._closed = False

    def take(self) -> int:
        """A file to be written from its beginning. What others wrote may still stand behind what is written now."""
        if not self._idle:
            return _nameless(self.directory)
        fd, size_bytes = self._idle.pop()
        self._idle_bytes -= size_bytes
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def give_back(self, fd: int) -> None:
        size_bytes = os.fstat(fd).st_size
        if self._closed or self._idle_bytes + size_bytes > SCRATCH_BYTES_MAX:
            os.close(fd)
        else:
            self._idle.append((fd, size_bytes))
            self._idle_bytes += size_bytes

    def close(self) -> None:
        """Idempotent. A file that is still used is closed when it is given back."""
        self._closed = True
        while self._idle:
            os.close(self._idle.pop()[0])

    def __del__(self) -> None:
        self.close()


class Spool:
    """Append, then read. Not for use by two threads at once.

    With a `path` the file keeps that name and outlives the process; without one it has no name, and is one of `scratch` or is
    removed by the system. It comes into being with the first byte beyond `memory_bytes_max`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        path: Path | None = None,
        scratch: Scratch | None = None,
        memory_bytes_max: int = 32 * 1024,
    ):
        self._directory = directory
        self._path = path
        self._scratch = scratch
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

    def chunks(self, piece: Slice, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The bytes of `piece`, at most `chunk_bytes` at a time."""
        at, end = piece.offset, piece.offset + piece.length
        while at < end:
            data = self.read(Slice(at, min(chunk_bytes, end - at)))
            if not data:
                raise EOFError(f"spool holds {self.size_bytes} bytes, asked for {end}")
            yield data
            at += len(data)

    def read(self, piece: Slice) -> bytes:
        """The bytes of `piece` at once, as far as they were written: for small ones."""
        if self._fd is None:
            return bytes(self._memory[piece.offset : piece.offset + piece.length])
        return os.pread(self._fd, max(0, min(piece.length, self.size_bytes - piece.offset)), piece.offset)

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
            os.close(fd) if self._scratch is None else self._scratch.give_back(fd)
        self._memory = bytearray()
        self.size_bytes = 0

    def __del__(self) -> None:
        """For an answer that nobody came to fetch."""
        self.close()

    def _open(self) -> int:
        if self._path is not None:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        return _nameless(self._directory) if self._scratch is None else self._scratch.take()

    def _write_all(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]  # type: ignore[arg-type]  # open by now


def _nameless(directory: Path) -> int:
    fd, name = tempfile.mkstemp(dir=directory, prefix="spool-")
    Path(name).unlink()
    return fd


def open_file(path: Path) -> Spool:
    """A spool over a file written earlier, for reading. Raises FileNotFoundError."""
    spool = Spool(path.parent, path=path)
    spool._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    spool.size_bytes = os.fstat(spool._fd).st_size
    return spool


def whole(spool: Spool) -> Iterable[bytes]:
    """Everything in the spool, from the first byte."""
    return spool.chunks(Slice(0, spool.size_bytes))
