"""Answers whose pictures lie in files of their own: read as if their base64 were in the answer, encoded while it is read."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.spool import Slice, Spool


@dataclass(frozen=True, slots=True)
class CutPicture:
    """Picture whose base64 was cut out of an answer: `place` is where the base64 stood, `file` holds the picture."""

    place: Slice
    file: Spool


class RebuiltSpool(Spool):
    """Spool with the bytes and the offsets of the original answer. Read only; closing it closes the files."""

    def __init__(self, directory: Path, rest: bytes, pictures: Sequence[CutPicture]):
        """`rest` is the answer without the base64 of `pictures`, which are sorted by offset."""
        super().__init__(directory)
        self._rest = rest
        self._pictures = pictures
        self.size_bytes = len(rest) + sum(picture.place.length for picture in pictures)

    def read(self, piece: Slice) -> bytes:
        return b"".join(self._pieces(piece.offset, min(piece.offset + piece.length, self.size_bytes)))

    def close(self) -> None:
        for picture in self._pictures:
            picture.file.close()
        super().close()

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        at = taken = 0  # Offsets in the answer and in what is left of it.
        for picture in self._pictures:
            place = picture.place
            yield self._rest[taken + max(start - at, 0) : taken + max(min(end, place.offset) - at, 0)]
            taken, at = taken + place.offset - at, place.offset
            yield encoded(picture.file, max(start - at, 0), min(end - at, place.length))
            at += place.length
        yield self._rest[taken + max(start - at, 0) : taken + max(end - at, 0)]


class ExtendedSpool(Spool):
    """Spool with the bytes of an answer and, after them, the base64 of pictures. Read only; closing it closes both."""

    def __init__(self, directory: Path, answer: Spool, pictures: Sequence[CutPicture]):
        """`pictures` are sorted by offset, the first at the end of the answer."""
        super().__init__(directory)
        self._answer = answer
        self._pictures = pictures
        self.size_bytes = answer.size_bytes + sum(picture.place.length for picture in pictures)

    def read(self, piece: Slice) -> bytes:
        """Return the bytes of a piece that lies within the answer or within one picture."""
        if piece.offset < self._answer.size_bytes:
            return self._answer.read(piece)
        for picture in self._pictures:
            first = piece.offset - picture.place.offset
            if 0 <= first < picture.place.length:
                return encoded(picture.file, first, min(first + piece.length, picture.place.length))
        return b""

    def close(self) -> None:
        self._answer.close()
        for picture in self._pictures:
            picture.file.close()
        super().close()


def base64_bytes(size_bytes: int) -> int:
    """Return the length of the base64 of so many bytes."""
    return -(-size_bytes // 3) * 4


def encoded(file: Spool, first: int, last: int) -> bytes:
    """Return the characters from `first` to before `last` of the base64 of a file."""
    if last <= first:
        return b""
    group = first // 4
    text = base64.b64encode(file.read(Slice(group * 3, (-(-last // 4) - group) * 3)))
    return text[first - group * 4 : last - group * 4]
