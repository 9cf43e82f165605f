"""Fingerprints: equal for two requests with the same content, however they are encoded."""

import hashlib
import json

from app.core.request import ImageRequest

FINGERPRINT_BYTES = 16
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def fingerprint(wanted: ImageRequest) -> bytes:
    """16 bytes over operation, fields after defaults, and files by field name and content.

    The order of fields, a multipart boundary, file names and everything in headers are left out. A field of a form is text and
    that of JSON is not: those facts that have a type of their own here are the same in both.
    """
    facts = {
        "model": wanted.model,
        "n": wanted.n,
        "size": wanted.size,
        "quality": wanted.quality,
        "stream": wanted.stream,
        "partial_images": wanted.partial_images,
    }
    document = {
        "operation": wanted.operation,
        "fields": wanted.fields | facts,
        "files": [(upload.field, upload.digest) for upload in wanted.uploads],
    }
    return hashlib.sha256(_CANONICAL.encode(document).encode()).digest()[:FINGERPRINT_BYTES]
