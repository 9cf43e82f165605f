"""Bodies of image requests, and requests that carry them."""

import asyncio
import base64
import io
import json
from itertools import pairwise
from typing import Any

from PIL import Image
from starlette.requests import Request
from starlette.types import Message

JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=cut-here"
MIB = 1024 * 1024


def picture(format: str = "PNG", width: int = 8, height: int = 6) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, format)
    return out.getvalue()


PNG = picture()


def data_url(data: bytes = PNG) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def request_of(
    content_type: str | tuple[str, ...], chunks: list[bytes], *, then: str = "end", headers: tuple[Any, ...] = ()
) -> Request:
    """Make a request with these Content-Type headers, whose body comes in these chunks and then ends, stalls or is cut by a
    disconnect."""
    labels = (content_type,) if isinstance(content_type, str) else content_type
    waiting = iter(chunks)

    async def receive() -> Message:
        chunk = next(waiting, None)
        if chunk is not None:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if then == "stall":
            await asyncio.Event().wait()
        if then == "leave":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    sent = [*((b"content-type", label.encode()) for label in labels), *headers]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": sent}, receive)


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    return [body[start:end] for start, end in pairwise([0, *sorted(cuts), len(body)])]


def edit_json(**fields: Any) -> bytes:
    return json.dumps({"prompt": "a hat", "images": [{"image_url": data_url()}], **fields}).encode()
