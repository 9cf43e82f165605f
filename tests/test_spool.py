"""Bytes set aside: what was written comes back, and nothing of what others wrote before."""

import os
from pathlib import Path

import pytest

from app import spool as spools
from app.spool import (
    LARGE_PIECES_MAX,
    PIECE_BYTES,
    Pieces,
    Scratch,
    Segments,
    Slice,
    Spool,
    whole,
)


def written(scratch: Scratch, data: bytes) -> Spool:
    spool = Spool(scratch.directory, scratch=scratch, memory_bytes_max=10)
    spool.write(data)
    return spool


def test_a_file_is_written_over_and_nothing_behind_the_new_end_is_ever_read(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    first = written(scratch, b"a secret that is long" * 10)
    file = os.fstat(first._fd or 0).st_ino
    first.close()

    second = written(scratch, b"a short new text")

    assert os.fstat(second._fd or 0).st_ino == file
    assert b"".join(whole(second)) == b"a short new text"
    assert second.read(Slice(8, 1000)) == b"new text"
    assert second.read(Slice(100, 10)) == b""
    with pytest.raises(EOFError):
        b"".join(second.chunks(Slice(0, 100)))


def test_two_at_once_have_a_file_each(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    written(scratch, b"x" * 100).close()

    one, other = written(scratch, b"one" * 10), written(scratch, b"other" * 10)

    assert (b"".join(whole(one)), b"".join(whole(other))) == (b"one" * 10, b"other" * 10)


def test_a_spool_that_is_closed_reads_nothing_of_its_successor(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    closed = written(scratch, b"mine" * 10)
    closed.close()
    closed.close()

    successor = written(scratch, b"somebody else's" * 10)

    assert closed.read(Slice(0, 40)) == b""
    assert b"".join(whole(successor)) == b"somebody else's" * 10


def test_what_waits_to_be_written_over_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools, "SCRATCH_BYTES_MAX", 250)
    scratch = Scratch(tmp_path)
    for spool in [written(scratch, b"x" * 100) for _ in range(5)]:
        spool.close()

    assert len(scratch._idle) == 2
    assert list(tmp_path.iterdir()) == []
    scratch.close()
    assert scratch._idle == []


def test_few_bodies_are_sent_in_large_pieces_and_many_in_small_ones(tmp_path: Path) -> None:
    large = 2 * PIECE_BYTES
    spool, pieces, size = Spool(tmp_path), Pieces(large), 3 * large
    spool.write(bytes(size))
    body: Segments = [b"before", Slice(0, size), b"behind"]

    alone = [len(piece) for piece in pieces.chunks(body, spool)]
    others = [pieces.chunks(body, spool) for _ in range(LARGE_PIECES_MAX)]
    for other in others:
        next(other)
    among_many = {len(piece) for piece in pieces.chunks(body, spool)}
    for other in others:
        other.close()
    alone_again = [len(piece) for piece in pieces.chunks(body, spool)]

    assert alone == alone_again == [6, *3 * [large], 6]
    assert among_many == {6, PIECE_BYTES}
    spool.close()
