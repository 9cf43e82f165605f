import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.core.images import HEAD_BYTES, JPEG_HEAD_BYTES, Header, is_jpeg, is_mpo, read_header


def picture(format: str, width: int = 37, height: int = 21, mode: str = "RGB", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, format, **options)
    return out.getvalue()


def segment(marker: int, body: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (picture("PNG"), "image/png"),
        (picture("PNG", mode="RGBA"), "image/png"),
        (picture("PNG", mode="P"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("JPEG", progressive=True), "image/jpeg"),
        (picture("JPEG", mode="L", exif=b"Exif\0\0" + bytes(60_000)), "image/jpeg"),
        (picture("JPEG", icc_profile=bytes(200_000)), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (picture("WEBP", lossless=True), "image/webp"),
        (picture("WEBP", exif=b"Exif\0\0" + bytes(100)), "image/webp"),
    ],
)
def test_type_and_size_are_what_pillow_says(data: bytes, content_type: str) -> None:
    with Image.open(io.BytesIO(data)) as oracle:
        width_px, height_px = oracle.size

    head = data[: JPEG_HEAD_BYTES if content_type == "image/jpeg" else HEAD_BYTES]
    assert read_header(head) == Header(content_type, width_px, height_px)


@pytest.mark.parametrize("size", [(1, 1), (1, 16_383), (16_383, 1), (255, 257)])
@pytest.mark.parametrize("options", [("PNG", {}), ("JPEG", {}), ("WEBP", {}), ("WEBP", {"lossless": True})])
def test_extreme_sizes_are_read_right(size: tuple[int, int], options: tuple[str, dict[str, Any]]) -> None:
    header = read_header(picture(options[0], *size, **options[1])[:HEAD_BYTES])

    assert header is not None
    assert (header.width_px, header.height_px) == size


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        picture("GIF"),
        picture("BMP"),
        picture("TIFF"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<!doctype html><script>alert(1)</script>",
        b"PK\x03\x04" + bytes(100),
        b"%PDF-1.7\n" + bytes(100),
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(40),
        b"RIFF\x24\0\0\0WEBPVP9 " + bytes(40),
        picture("PNG")[:32],
        picture("WEBP")[:29],
        picture("JPEG")[:20],
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 0, 5) + bytes(9),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 2**31, 5) + bytes(9),
        b"\xff\xd8" + segment(0xC0, bytes([8]) + struct.pack(">HH", 0, 5) + bytes(10)),
        b"\xff\xd8" + segment(0xDA),
        b"\xff\xd8\xff\xe0\0\0" + bytes(100),
        b"\xff\xd8\xff\xd9" + bytes(100),
    ],
    ids=lambda data: repr(data[:16]),
)
def test_anything_else_is_nothing(data: bytes) -> None:
    assert read_header(data) is None


def test_a_bomb_is_read_from_its_header_alone() -> None:
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 60_000, 60_000) + bytes(9)

    assert read_header(bomb) == Header("image/png", 60_000, 60_000)


def test_a_jpeg_whose_size_comes_after_60_000_segments_is_given_up() -> None:
    size = segment(0xC0, b"\x08\0\x05\0\x05" + bytes(10))

    assert read_header(b"\xff\xd8" + segment(0xE0) + size) is not None
    assert read_header(b"\xff\xd8" + segment(0xE0) * 60_000 + size) is None


def test_a_jpeg_with_more_metadata_than_the_head_is_read_from_the_whole_file() -> None:
    plain = picture("JPEG")
    data = plain[:2] + segment(0xE1, bytes(65_000)) * 20 + plain[2:]

    assert is_jpeg(data)
    assert read_header(data[:JPEG_HEAD_BYTES]) is None
    assert read_header(data) == Header("image/jpeg", 37, 21)


def test_several_pictures_in_one_jpeg_are_an_mpo_unless_one_is_a_gain_map() -> None:
    two = picture("MPO", save_all=True, append_images=[Image.new("RGB", (37, 21), "blue")])
    gain_map = two[:2] + segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>') + two[2:]

    assert [is_mpo(data) for data in (two, gain_map, picture("JPEG"), picture("PNG"))] == [True, False, False, False]


@given(
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"RIFF0000WEBPVP8 ", b"RIFF0000WEBPVP8L"]),
    st.binary(),
)
def test_no_bytes_at_all_make_it_fail(start: bytes, rest: bytes) -> None:
    header = read_header(start + rest)

    assert header is None or min(header.width_px, header.height_px) > 0
