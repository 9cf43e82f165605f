"""Bytes set aside: what was written comes back, in chunks, whether it lies in memory or in a file."""

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


def test_a_full_disk_keeps_what_is_in_memory_readable() -> None:
    """A small answer that cannot be kept is still sent."""
    spool = Spool(Path("/dev"), path=Path("/dev/full"))
    spool.write(b"a picture")

    with pytest.raises(OSError, match="No space left"):
        spool.keep()

    assert b"".join(whole(spool)) == b"a picture"
    assert not spool.in_file
    spool.close()
