"""Uploaded images: type and size are read from their first bytes, not from file names and Content-Type."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.core.images import HEAD_BYTES, JPEG_HEAD_BYTES, Header, is_jpeg, is_mpo, read_header
from app.core.request import Upload
from app.errors import (
    DuplicateKey,
    ImageEmpty,
    ImageTooLargeInPixels,
    InvalidImageType,
    InvalidMultipart,
    InvalidValue,
    MissingParameter,
)
from app.spool import Slice, Spool

IMAGES_MAX = 16
PIXELS_MAX = 50_000_000

UploadField = Literal["image", "mask", "markup"]

_IMAGE_NAME = re.compile(r"image(\[[0-9]{0,3}\])?")


@dataclass(frozen=True, slots=True)
class FilePart:
    """Uploaded file before checks. `name` is that of its form field, `piece` lies in the request's spool, `digest` is its BLAKE3
    in hex."""

    name: str
    piece: Slice
    digest: str


@dataclass(frozen=True, slots=True)
class UploadedForm:
    """Multipart form before checks: texts, and files in `spool`, which the receiver closes. `pixels_max` bounds a picture."""

    fields: dict[str, str | list[str]]
    files: list[FilePart]
    spool: Spool
    pixels_max: int


def upload_field(name: str) -> UploadField | None:
    """Return the kind of upload for a part's name (`image`, `image[]` and `image[0]` are the same); None for a text field."""
    if name in ("mask", "markup"):
        return name  # type: ignore[return-value]  # mypy does not narrow a str by `in`.
    return "image" if _IMAGE_NAME.fullmatch(name) else None


def read_uploads(files: Sequence[FilePart], spool: Spool, images_max: int, pixels_max: int) -> tuple[Upload, ...]:
    """Check the files of a request: one to `images_max` images, at most one mask and one markup.

    Raises MissingParameter, InvalidValue, DuplicateKey, ImageEmpty, InvalidImageType, ImageTooLargeInPixels.
    """
    uploads = tuple(_upload(file, spool, pixels_max) for file in files)
    images = sum(upload.field == "image" for upload in uploads)
    if images == 0:
        raise MissingParameter("'image' is missing; send at least one picture.", param="image")
    if images > images_max:
        raise InvalidValue(f"{images} images came; at most {images_max} are allowed here.", param="image")
    for field in ("mask", "markup"):
        if sum(upload.field == field for upload in uploads) > 1:
            raise DuplicateKey(f"More than one {field!r} came; send one.", param=field)
    return uploads


def _upload(file: FilePart, spool: Spool, pixels_max: int) -> Upload:
    field = upload_field(file.name)
    if field is None:
        raise InvalidMultipart(
            f"Unknown file field {file.name!r}; files are 'image', 'mask', 'markup'.", param=file.name
        )
    if file.piece.length == 0:
        raise ImageEmpty(f"The file in {file.name!r} is empty; send a PNG, JPEG or WebP picture.", param=field)
    header = _header(spool, file.piece)
    if header is None:
        message = f"The file in {file.name!r} is not a readable PNG, JPEG or WebP picture; convert it to one of these."
        raise InvalidImageType(message, param=field)
    if header.content_type == "image/jpeg" and is_mpo(spool.read(_start(file.piece, JPEG_HEAD_BYTES))):
        message = (
            f"The file in {file.name!r} is an MPO file labelled JPEG: several pictures in one, as some phones write them. Image "
            "models refuse it; save it as a plain JPEG or PNG."
        )
        raise InvalidImageType(message, param=field)
    if header.width_px * header.height_px > pixels_max:
        size = f"{header.width_px} x {header.height_px}"
        message = (
            f"The picture in {file.name!r} has {size} pixels; at most {pixels_max:,} in all are allowed. Scale it down."
        )
        raise ImageTooLargeInPixels(message, param=field)
    return Upload(field, file.piece, header.content_type, header.width_px, header.height_px, file.digest)


def _header(spool: Spool, piece: Slice) -> Header | None:
    """Read a file's header. More and more of a JPEG is read, because some have megabytes of metadata before it."""
    for head_bytes in (HEAD_BYTES, JPEG_HEAD_BYTES, piece.length):
        head = spool.read(_start(piece, head_bytes))
        header = read_header(head)
        if header is not None or not is_jpeg(head) or piece.length <= head_bytes:
            return header
    return None


def _start(piece: Slice, bytes_max: int) -> Slice:
    return Slice(piece.offset, min(piece.length, bytes_max))
