"""Facts about pictures that Pillow wrote, with and without a manifest of C2PA."""

import io

import pytest
from PIL import Image

from app.core.picture_facts import PictureFacts, read_facts

JUMBF = (
    b"\x00\x00\x00\x40jumb\x00\x00\x00\x1ejumdc2pa\x00\x11\x00\x10\x80\x00\x00\xaa\x00\x38\x9b\x71\x03c2pa\x00"
    + bytes(22)
)
MEDIA_TYPES = ("PNG", "JPEG", "WEBP", "GIF")


def drawn(kind: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((321, 123), 50).convert("RGB").save(file, kind)
    return file.getvalue()


def facts(picture: bytes) -> PictureFacts | None:
    return read_facts(lambda offset, length: picture[offset : offset + length])


def signed(kind: str) -> bytes:
    """Return a picture with a manifest where C2PA puts it."""
    picture = drawn(kind)
    if kind == "PNG":
        return picture[:33] + len(JUMBF).to_bytes(4) + b"caBX" + JUMBF + b"\0\0\0\0" + picture[33:]
    if kind == "JPEG":
        payload = b"JP\x00\x01\x00\x00\x00\x01" + JUMBF
        return picture[:20] + b"\xff\xeb" + (len(payload) + 2).to_bytes(2) + payload + picture[20:]
    if kind == "WEBP":
        return picture + b"C2PA" + len(JUMBF).to_bytes(4, "little") + JUMBF
    return picture[:-1] + b"\x21\xff\x0bC2PA_GIF\x01\x00\x00" + bytes([len(JUMBF)]) + JUMBF + b"\x00;"


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_type_and_size_are_read_from_the_bytes(kind: str) -> None:
    assert facts(drawn(kind)) == PictureFacts(f"image/{kind.lower()}", 321, 123, c2pa=False)


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_a_manifest_is_recognised(kind: str) -> None:
    assert facts(signed(kind)) == PictureFacts(f"image/{kind.lower()}", 321, 123, c2pa=True)


@pytest.mark.parametrize("other", [b"", b"<svg/>", b"<html>", b"BM" + bytes(60), b"II*\0" + bytes(60)])
def test_other_bytes_are_no_picture(other: bytes) -> None:
    assert facts(other) is None


@pytest.mark.parametrize("kind", MEDIA_TYPES)
def test_a_picture_that_was_cut_is_read_as_far_as_it_goes(kind: str) -> None:
    picture = signed(kind)

    found = [facts(picture[:length]) for length in range(16, 200)]

    assert {each.media_type for each in found if each is not None} == {f"image/{kind.lower()}"}
    assert None not in found
