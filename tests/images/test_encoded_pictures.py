"""Pictures that lie as base64 in a stored answer: decoded whole and in part."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse

from app.api.picture_response import picture_response
from app.images.links import OpenPicture
from app.spool import CHUNK_BYTES, Slice, Spool, whole
from app.upstream.images import image_format
from app.upstream.pictures import decoded, measure
from app.upstream.skeleton import Skeleton

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9000


@pytest.mark.parametrize("text", ["{}", "{}\\n", "\\u0069{}"])
def test_base64_is_decoded_in_pieces_whatever_its_escapes(tmp_path: Path, text: str) -> None:
    picture = PICTURE[:768_008]
    digits = base64.b64encode(picture).decode()
    wrapped = "\\n".join(cut(digits, 76)).replace("/", "\\/").replace("+", "\\u002b")
    body = text.format(wrapped if text[0] == "{" else wrapped[1:])
    spool, skeleton = Spool(tmp_path), Skeleton()
    spool.write(f'{{"b64_json":"{body}"}}'.encode())
    for chunk in whole(spool):
        skeleton.feed(chunk)
    b64 = skeleton.document()["b64_json"]

    assert b"".join(decoded(b64, spool)) == picture
    assert measure(b64, spool).size_bytes == len(picture)
    assert [measure(digits[:length], spool).size_bytes for length in range(9)] == [0, 0, 1, 2, 3, 3, 4, 5, 6]
    assert image_format(b64) == "png"
    assert b"".join(decoded(digits, spool)) == picture


class CountingSpool(Spool):
    """Spool that counts the bytes that are read from it."""

    read_bytes = 0

    def read(self, piece: Slice) -> bytes:
        self.read_bytes += piece.length
        return super().read(piece)


def encoded_picture(spool: Spool, picture: bytes, wrap: int, junk: str = "") -> OpenPicture:
    """Open a picture in a stored answer that has `wrap` digits in a line."""
    digits = "\\n".join(cut(base64.b64encode(picture).decode(), wrap)) if wrap else base64.b64encode(picture).decode()
    skeleton = Skeleton()
    spool.write(f'{{"b64_json":"{digits[:4000]}{junk}{digits[4000:]}"}}'.encode())
    for chunk in whole(spool):
        skeleton.feed(chunk)
    encoded = measure(skeleton.document()["b64_json"], spool)
    return OpenPicture("req_1_0", spool, encoded.size_bytes, "png", 2**50, encoded)


@pytest.mark.parametrize("length", [len(PICTURE), len(PICTURE) - 1, len(PICTURE) - 2])
@pytest.mark.parametrize(("wrap", "junk"), [(0, ""), (76, ""), (0, " "), (0, "===")])
def test_a_part_of_a_picture_in_an_answer_is_the_same_bytes(tmp_path: Path, length: int, wrap: int, junk: str) -> None:
    picture = PICTURE[:length]
    open = encoded_picture(Spool(tmp_path), picture, wrap, junk)

    for start, stop in ((0, 1), (1, 3), (5, 700_001), (length - 1, length), (length - 5, length), (0, length)):
        assert b"".join(open.chunks(range(start, stop))) == picture[start:stop]


def test_the_end_of_a_picture_in_an_answer_is_read_without_what_is_before(tmp_path: Path) -> None:
    spool = CountingSpool(tmp_path)
    open = encoded_picture(spool, PICTURE, 0)
    spool.read_bytes = 0

    assert b"".join(open.chunks(range(len(PICTURE) - 10, len(PICTURE)))) == PICTURE[-10:]
    assert spool.read_bytes <= 16


async def test_others_have_their_turns_while_wrapped_base64_is_decoded(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    open, turns = encoded_picture(spool, PICTURE, 76), 0
    pieces = spool.size_bytes // CHUNK_BYTES
    range = (b"range", f"bytes={len(PICTURE) - 10}-".encode())
    request = Request({"type": "http", "method": "GET", "headers": [range]})
    response = picture_response(request, open, 0)
    assert isinstance(response, StreamingResponse)

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    sent = b"".join([bytes(piece) async for piece in response.body_iterator if not isinstance(piece, str)])
    other.cancel()

    assert sent == PICTURE[-10:]
    assert turns >= pieces > 10


def cut(text: str, length: int) -> Iterator[str]:
    return (text[at : at + length] for at in range(0, len(text), length))
