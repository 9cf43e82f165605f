"""Encoder of multipart/form-data for the relay. The length is known before sending, and files stay in the spool."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

from app.core.request import Upload
from app.spool import Segments

_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "image/gif": "gif"}


def encode_multipart(fields: dict[str, Any], uploads: tuple[Upload, ...]) -> tuple[str, Segments]:
    """Return (Content-Type, body): text fields first, in their order, then files, like OpenAI's SDK.

    One picture is named `image`, several `image[]`: OpenAI accepts only these, relays accept both names for both. File names are
    generated, with the extension of the real type, because relays guess the type from it.
    """
    boundary = f"imagegate-{secrets.token_hex(16)}"
    several = sum(upload.field == "image" for upload in uploads) > 1
    segments: Segments = []
    for name, value in _flatten(fields):
        disposition = b'form-data; name="%b"' % _escape_name(name)
        segments.append(_part_start(boundary, disposition) + value.encode(errors="replace") + b"\r\n")
    for number, upload in enumerate(uploads):
        name, file_name = _names(upload, number, several)
        disposition = f'form-data; name="{name}"; filename="{file_name}"'.encode()
        segments += (_part_start(boundary, disposition, upload.content_type), upload.piece, b"\r\n")
    segments.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", segments


def _names(upload: Upload, number: int, several: bool) -> tuple[str, str]:
    extension = _EXTENSIONS.get(upload.content_type, "png")
    if upload.field != "image":
        return upload.field, f"{upload.field}.{extension}"
    return "image[]" if several else "image", f"image-{number}.{extension}"


def _part_start(boundary: str, disposition: bytes, content_type: str | None = None) -> bytes:
    kind = f"Content-Type: {content_type}\r\n" if content_type else ""
    return f"--{boundary}\r\nContent-Disposition: ".encode() + disposition + f"\r\n{kind}\r\n".encode()


def _flatten(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Flatten fields to text like OpenAI's SDK: lists repeat `name[]`, objects become `name[key]`, nulls are left out."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flatten({f"{name}[{key}]": member for key, member in value.items()})
        elif isinstance(value, list):
            list_name = name if name.endswith("[]") else f"{name}[]"
            for item in value:
                yield from _flatten({list_name: item})
        elif value is not None:
            yield name, value if isinstance(value, str) else json.dumps(value)


def _escape_name(name: str) -> bytes:
    """Escape a field name for a quoted string, like browsers and SDKs."""
    return name.encode(errors="replace").replace(b'"', b"%22").replace(b"\r", b"%0D").replace(b"\n", b"%0A")
