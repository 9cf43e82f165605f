"""Facts about a picture, read from its own bytes: media type, size, and whether it carries a C2PA manifest.

Nothing is decoded and nothing is changed. C2PA: https://spec.c2pa.org, "Embedding manifests into various file formats".
"""

from collections.abc import Callable
from dataclasses import dataclass

from app.core.images import HEAD_BYTES, JPEG_HEAD_BYTES, Header, is_jpeg, read_header

CHUNKS_MAX = 10_000
"""Most chunks or segments that are looked at; a picture of 64 MiB in chunks of 8 KiB has as many."""
_GIF_MANIFEST = b"\x21\xff\x0bC2PA_GIF"
ReadAt = Callable[[int, int], bytes]
"""Function that returns `length` bytes from `offset` on, fewer at the end of the picture."""


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """Facts about a picture. `media_type` is image/png, image/jpeg, image/webp or image/gif. Width and height are None where its
    header cannot be read. `c2pa`: a manifest says who made it; re-encoding the picture would lose that."""

    media_type: str
    width_px: int | None
    height_px: int | None
    c2pa: bool


def read_facts(read: ReadAt) -> PictureFacts | None:
    """Read the facts about a picture. Return None for other bytes than PNG, JPEG, WebP or GIF, whatever their label says."""
    head = read(0, HEAD_BYTES)
    media_type = media_type_of(head)
    if media_type is None:
        return None
    header = _gif(head) if media_type == "image/gif" else read_header(head)
    if header is None and is_jpeg(head):
        header = read_header(read(0, JPEG_HEAD_BYTES))
    width_px, height_px = (None, None) if header is None else (header.width_px, header.height_px)
    return PictureFacts(media_type, width_px, height_px, _MANIFESTS[media_type](read))


def media_type_of(head: bytes) -> str | None:
    """Return the media type that the first 12 bytes of a picture show; None for others than PNG, JPEG, WebP and GIF."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if is_jpeg(head):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return "image/gif" if head.startswith((b"GIF87a", b"GIF89a")) else None


def _gif(head: bytes) -> Header | None:
    width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    return Header("image/gif", width, height) if width and height else None


def _png_has_manifest(read: ReadAt) -> bool:
    offset = 8
    for _ in range(CHUNKS_MAX):
        chunk = read(offset, 8)
        if len(chunk) < 8 or chunk[4:] == b"IEND":
            return False
        if chunk[4:] == b"caBX":
            return True
        offset += int.from_bytes(chunk[:4]) + 12  # Length, type and check sum.
    return False


def _jpeg_has_manifest(read: ReadAt) -> bool:
    offset = 2
    for _ in range(CHUNKS_MAX):
        segment = read(offset, 64)
        if len(segment) < 4 or segment[0] != 0xFF or segment[1] in (0xDA, 0xD9):
            return False
        if segment[1] == 0xEB and b"jumb" in segment and b"c2pa" in segment:  # APP11 with a JUMBF box.
            return True
        offset += 1 if segment[1] == 0xFF else 2 + int.from_bytes(segment[2:4])
    return False


def _webp_has_manifest(read: ReadAt) -> bool:
    offset = 12
    for _ in range(CHUNKS_MAX):
        chunk = read(offset, 8)
        if len(chunk) < 8:
            return False
        if chunk[:4] == b"C2PA":
            return True
        length = int.from_bytes(chunk[4:], "little")
        offset += 8 + length + length % 2
    return False


def _gif_has_manifest(read: ReadAt) -> bool:
    return _GIF_MANIFEST in read(0, JPEG_HEAD_BYTES)


_MANIFESTS: dict[str, Callable[[ReadAt], bool]] = {
    "image/png": _png_has_manifest,
    "image/jpeg": _jpeg_has_manifest,
    "image/webp": _webp_has_manifest,
    "image/gif": _gif_has_manifest,
}
