"""Requests as they come to the storm's own servers: read whole, and known by the marker in their prompt."""

import asyncio
import re

_MARKER = re.compile(rb"storm-[0-9a-z-]+")
_BODY_BYTES_MAX = 8 * 1024 * 1024


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head, with the empty line, and body. Raises IncompleteReadError, and ValueError when it is too large."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?im)^content-length: *(\d+)", head)
    size = int(length[1]) if length else 0
    if size > _BODY_BYTES_MAX:
        raise ValueError("too large")
    return head, await reader.readexactly(size)


def marker_of(body: bytes) -> str:
    """`unmarked` where there is none."""
    found = _MARKER.search(body)
    return found[0].decode() if found else "unmarked"
