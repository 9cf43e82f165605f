"""Fingerprints of requests: equal for two requests with the same content, whether it was sent as JSON or as a form."""

import hashlib
import json

from app.core.request import ImageRequest

FINGERPRINT_BYTES = 16
_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def fingerprint(request: ImageRequest) -> bytes:
    """Hash operation, fields after defaults, and files by field name and content; returns 16 bytes.

    The order of fields, the multipart boundary, file names and headers are left out. Values of a form are text and those of
    JSON are not, so the typed attributes of the request replace those fields.
    """
    facts = {
        "model": request.model,
        "n": request.n,
        "size": request.size,
        "quality": request.quality,
        "stream": request.stream,
        "partial_images": request.partial_images,
    }
    document = {
        "operation": request.operation,
        "fields": request.fields | facts,
        "files": [(upload.field, upload.digest) for upload in request.uploads],
    }
    return hashlib.sha256(_CANONICAL.encode(document).encode()).digest()[:FINGERPRINT_BYTES]
