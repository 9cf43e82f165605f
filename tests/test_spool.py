"""Bytes set aside: what was written comes back, in chunks, whether it lies in memory or in a file."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.spool import CHUNK_BYTES, Segments, Slice, Spool, segments_bytes, segments_chunks, whole


@pytest.mark.parametrize("memory_bytes_max", [10, 10_000_000])
def test_a_body_comes_back_in_chunks(tmp_path: Path, memory_bytes_max: int) -> None:
    spool, data = Spool(tmp_path, memory_bytes_max=memory_bytes_max), bytes(range(256)) * 8192
    spool.write(data)
    body: Segments = [b"before", Slice(1, CHUNK_BYTES + 1), b"behind"]

    chunks = list(segments_chunks(body, spool))

    assert [len(chunk) for chunk in chunks] == [6, CHUNK_BYTES, 1, 6]
    assert b"".join(chunks) == b"before" + data[1 : CHUNK_BYTES + 2] + b"behind"
    assert segments_bytes(body) == CHUNK_BYTES + 13
    assert b"".join(whole(spool)) == data
    assert spool.in_file == (memory_bytes_max == 10)
    assert list(tmp_path.iterdir()) == []


def test_more_than_was_written_cannot_be_read(tmp_path: Path) -> None:
    spool = Spool(tmp_path, memory_bytes_max=10)
    spool.write(b"a short text")

    assert spool.read(Slice(8, 1000)) == b"text"
    with pytest.raises(EOFError, match="holds 12 bytes"):
        b"".join(spool.chunks(Slice(0, 100)))


def test_a_closed_spool_holds_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, memory_bytes_max=10)
    spool.write(b"a short text")
    spool.close()
    spool.close()

    assert spool.read(Slice(0, 12)) == b""


@pytest.mark.parametrize("data", [b"", b"short", b"a text for a file"])
def test_a_closed_spool_gives_the_descriptor_back_that_it_reserved(tmp_path: Path, data: bytes) -> None:
    before = len([*Path("/dev/fd").iterdir()])
    spool = Spool(tmp_path, memory_bytes_max=10)
    spool.reserve_descriptor()
    spool.write(data)
    spool.close()

    assert len([*Path("/dev/fd").iterdir()]) == before


def test_a_full_disk_keeps_what_is_in_memory_readable() -> None:
    """A small answer that cannot be kept is still sent."""
    spool = Spool(Path("/dev"), path=Path("/dev/full"))
    spool.write(b"a picture")

    with pytest.raises(OSError, match="No space left"):
        spool.keep()

    assert b"".join(whole(spool)) == b"a picture"
    assert not spool.in_file
    spool.close()


OUT_OF_DESCRIPTORS = """
import os, resource, sys
from pathlib import Path
from app.spool import Slice, Spool

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
reserved, other = (Spool(Path(sys.argv[1]), path=Path(sys.argv[1]) / name) for name in ("one", "two"))
reserved.reserve_descriptor()
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
reserved.write(b"x" * 100_000)
assert reserved.read(Slice(99_999, 9)) == b"x"
for attempt in (other.reserve_descriptor, lambda: other.write(b"x" * 100_000)):
    try:
        attempt()
    except OSError:
        continue
    raise AssertionError("a descriptor from nowhere")
reserved.close()
taken.append(os.open(os.devnull, os.O_RDONLY))
"""


def test_a_spool_with_a_reserved_descriptor_opens_its_file_when_none_is_left(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", OUT_OF_DESCRIPTORS, str(tmp_path)], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
