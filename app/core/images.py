"""Type and size of an image, read from its first bytes. Nothing is decoded, so a decompression bomb does no harm."""

import re
from dataclasses import dataclass

HEAD_BYTES = 4 * 1024
"""Bytes of a file to read first: enough for PNG and WebP (33 bytes) and many JPEGs."""
JPEG_HEAD_BYTES = 256 * 1024
"""Bytes to read of a JPEG: enough for nearly all; one with more metadata needs the whole file."""

JPEG_SEGMENTS_MAX = 1_000
"""Segments allowed before the frame header. One holds 64 KiB, so the metadata of a 10 MB file fits in 160."""


_MPF = re.compile(rb"\xff\xe2..MPF\0", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Header:
    """Type and size of an image. `content_type` is image/png, image/jpeg or image/webp; width and height are at least 1."""

    content_type: str
    width_px: int
    height_px: int


def read_header(head: bytes) -> Header | None:
    """Read type and size. Return None for anything that is not PNG, JPEG or WebP, is cut short or has no area.

    `head` holds at least HEAD_BYTES or the whole file. For a JPEG, None can also mean that its frame header lies beyond
    `head`: when `is_jpeg(head)`, call again with more bytes, at last with the whole file. JPEG_SEGMENTS_MAX bounds the work.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        header = _png(head)
    elif is_jpeg(head):
        header = _jpeg(head)
    elif head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        header = _webp(head)
    else:
        header = None
    return header if header is not None and header.width_px > 0 and header.height_px > 0 else None


def is_jpeg(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff")


def is_mpo(head: bytes) -> bool:
    """Return whether a JPEG holds several pictures (MPO), as phones of Huawei write them: what Pillow, and so OpenAI, calls MPO.

    A picture with an HDR gain map has the same index of pictures (MPF) and counts as a JPEG.
    """
    return is_jpeg(head) and _MPF.search(head, 0, JPEG_HEAD_BYTES) is not None and b"hdrgm:Version" not in head


def _png(head: bytes) -> Header | None:
    # The first chunk is always IHDR, 13 bytes long.
    if len(head) < 33 or head[8:16] != b"\x00\x00\x00\x0dIHDR":
        return None
    width, height = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    return Header("image/png", width, height) if max(width, height) < 2**31 else None


def _jpeg(head: bytes) -> Header | None:
    offset = 2
    for _ in range(JPEG_SEGMENTS_MAX):
        if head[offset : offset + 1] != b"\xff" or offset + 4 > len(head):
            return None
        marker = head[offset + 1]
        if marker == 0xFF:  # A fill byte.
            offset += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # No length follows these.
            offset += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _jpeg_frame(head[offset + 2 : offset + 9])
        elif marker in (0x00, 0xD8, 0xD9, 0xDA):  # The image data begins or ends without a frame header.
            return None
        else:
            length = int.from_bytes(head[offset + 2 : offset + 4])
            if length < 2:
                return None
            offset += 2 + length
    return None


def _jpeg_frame(frame: bytes) -> Header | None:
    # Length (2), precision (1), height (2), width (2).
    if len(frame) < 7 or int.from_bytes(frame[:2]) < 8:
        return None
    return Header("image/jpeg", int.from_bytes(frame[5:7]), int.from_bytes(frame[3:5]))


def _webp(head: bytes) -> Header | None:
    if len(head) < 30:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return Header(
            "image/webp", int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        )
    if kind == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return Header("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
        return Header("image/webp", width & 0x3FFF, height & 0x3FFF)
    return None
