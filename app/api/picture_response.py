"""Response with the bytes of a picture: whole, one Range of it, or only its head."""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.core.browsers import PICTURE_POLICY
from app.errors import InvalidValue
from app.images.links import OpenPicture
from app.spool import Spool

INLINE = ("png", "jpeg", "webp")
"""Formats that a browser may show. Others are downloaded: an SVG can hold a program."""
ANY_PAGE = {"access-control-allow-origin": "*"}
"""Header that lets pages of every origin read a picture; a link is the permission, never a cookie."""
_MEDIA_TYPES = {"svg": "image/svg+xml", None: "application/octet-stream"}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def picture_response(request: Request, picture: OpenPicture, now_ms: int) -> Response:
    """Make the response to a GET or HEAD with at most one Range; it closes the picture. Raises InvalidValue (416)."""
    headers = _headers(picture, now_ms)
    if headers["etag"] in request.headers.get("if-none-match", ""):
        picture.spool.close()
        return Response(None, 304, headers)
    if_range = request.headers.get("if-range", headers["etag"])
    wanted = _range(request.headers.get("range", "") if if_range == headers["etag"] else "", picture.size_bytes)
    if wanted is None:
        picture.spool.close()
        message = f"The picture has {picture.size_bytes:,} bytes; ask for a Range within them, or for none."
        place = {"content-range": f"bytes */{picture.size_bytes}"}
        raise InvalidValue(message, status=416, param="Range", headers=ANY_PAGE | place)
    headers["content-length"] = str(len(wanted))
    is_part = len(wanted) < picture.size_bytes
    if is_part:
        headers["content-range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{picture.size_bytes}"
    status = 206 if is_part else 200
    if getattr(request.state, "is_head", False):  # The command line's own application has no paths of clients.
        picture.spool.close()
        return Response(None, status, headers)
    return StreamingResponse(_bytes(picture, wanted), status, headers)


def thumbnail(picture_id: str, spool: Spool, expires_at_ms: int | None) -> OpenPicture:
    """Make the thumbnail of a picture ready to be sent."""
    return OpenPicture(f"{picture_id}-thumbnail", spool, spool.size_bytes, "webp", expires_at_ms)


def _headers(picture: OpenPicture, now_ms: int) -> dict[str, str]:
    kind = picture.format
    place = "inline" if kind in INLINE else "attachment"
    # Without a link a browser asks each time, so that what was deleted or is not shared any more is not shown from its cache.
    end_ms = picture.expires_at_ms
    freshness = "no-cache" if end_ms is None else f"max-age={max(end_ms - now_ms, 0) // 1000}"
    return ANY_PAGE | {
        "content-type": _MEDIA_TYPES.get(kind, f"image/{kind}"),
        "content-disposition": f'{place}; filename="{picture.id}.{kind or "bin"}"',
        "etag": f'"{picture.id}"',
        "accept-ranges": "bytes",
        "cache-control": f"private, {freshness}",
        "content-security-policy": PICTURE_POLICY,
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }


def _range(header: str, size_bytes: int) -> range | None:
    """Read a Range header. Return the whole picture without a readable one, and None for one beyond its end."""
    named = _RANGE.fullmatch(header.replace(" ", ""))
    if named is None or named[1] == named[2] == "":
        return range(size_bytes)
    if named[1] == "":
        start, stop = max(size_bytes - int(named[2]), 0), size_bytes
    else:
        start, stop = int(named[1]), min(int(named[2]) + 1, size_bytes) if named[2] else size_bytes
    if named[1] and named[2] and int(named[2]) < int(named[1]):
        return range(size_bytes)
    return range(start, stop) if start < stop else None


async def _bytes(picture: OpenPicture, wanted: range) -> AsyncIterator[bytes]:
    try:
        for piece in picture.chunks(wanted):
            if piece:
                yield piece
            # A client that reads fast makes nobody wait, so that without this no other client would get a turn.
            await asyncio.sleep(0)
    finally:
        picture.spool.close()
