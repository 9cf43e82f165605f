"""Fingerprints of requests: equal for two requests with the same content, whether it was sent as JSON or as a form."""

import hashlib
import json
from typing import Any

from app.core.keys import keyed_digest
from app.core.request import ImageRequest

FINGERPRINT_BYTES = 16
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))
_PURPOSE = b"imagegate duplicates\0"
"""Text before the digested content, so that no other use of the secret makes the same digest."""


def fingerprint(request: ImageRequest) -> bytes:
    """Hash operation, fields after defaults, and files by field name and content; returns 16 bytes.

    The order of fields, the multipart boundary, file names and headers are left out. Values of a form are text and those of
    JSON are not, so the typed attributes of the request replace those fields.
    """
    document = _content(request, request.fields)
    return hashlib.sha256(_CANONICAL.encode(document).encode()).digest()[:FINGERPRINT_BYTES]


def duplicate_digest(pepper: bytes, user_id: str, project_id: str, request: ImageRequest) -> bytes:
    """Compute a keyed digest that is equal for requests of one user in one project that ask for the same pictures; 16 bytes.

    It is made of a request whose alias is resolved, and compares what `fingerprint` compares, except that fields of null count as
    absent, numbers as their text, and `response_format` not at all: it is only the form of the answer. `user` and `seed` count.
    """
    fields = {
        name: value if isinstance(value, str) else _CANONICAL.encode(value)
        for name, value in request.fields.items()
        if value is not None and name != "response_format"
    }
    document = [user_id, project_id, _content(request, fields)]
    return keyed_digest(pepper, _PURPOSE + _CANONICAL.encode(document).encode())[:FINGERPRINT_BYTES]


def _content(request: ImageRequest, fields: dict[str, Any]) -> dict[str, Any]:
    facts = {
        "model": request.model,
        "n": request.n,
        "size": request.size,
        "quality": request.quality,
        "stream": request.stream,
        "partial_images": request.partial_images,
    }
    return {
        "operation": request.operation,
        "fields": fields | facts,
        "files": [(upload.field, upload.digest) for upload in request.uploads],
    }
