"""What the tests of the relay's side start from."""

import base64
import json
from pathlib import Path
from typing import Any

from app.core.request import ImageRequest, Operation, Upload
from app.spool import Segments, Slice, Spool
from app.upstream.client import Answer, HttpUpstream
from app.upstream.skeleton import Skeleton
from tests.upstream.raw_server import Request

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 12
PNG_B64 = base64.b64encode(PNG).decode()
USAGE = {
    "total_tokens": 100,
    "input_tokens": 50,
    "output_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}


def b64(data: bytes) -> str:
    return base64.b64encode(data.ljust(3000, b"\0")).decode()


def image_request(
    operation: Operation = "generation",
    *,
    stream: bool = False,
    fields: dict[str, Any] | None = None,
    files: dict[str, bytes] | None = None,
    directory: Path = Path(),
) -> ImageRequest:
    """A request with what `fields` says; files by names such as `image`, `image2`, `mask`, all taken for PNGs."""
    spool = Spool(directory, memory_bytes_max=1024 * 1024) if files else None
    uploads = []
    for name, data in (files or {}).items():
        assert spool is not None
        piece = Slice(spool.size_bytes, len(data))
        spool.write(data)
        field: Any = name.rstrip("0123456789")
        uploads.append(Upload(field, piece, "image/png", 8, 8, "00"))
    return ImageRequest(
        operation=operation,
        model="gpt-image-1",
        n=1,
        size=None,
        quality=None,
        stream=stream,
        partial_images=0,
        prompt_chars=3,
        fields={"model": "gpt-image-1", "prompt": "猫 cat"} | (fields or {}),
        uploads=tuple(uploads),
        spool=spool,
    )


def skeleton_of(document: Any) -> Any:
    """`document` as it looks after it went over the wire."""
    return skeleton_of_bytes(json.dumps(document).encode())


def skeleton_of_bytes(raw: bytes) -> Any:
    skeleton = Skeleton()
    skeleton.feed(raw)
    return skeleton.document()


def spliced(segments: Segments, raw: bytes) -> bytes:
    """The whole body, its slices taken from `raw`."""
    return b"".join(
        piece if isinstance(piece, bytes) else raw[piece.offset : piece.offset + piece.length] for piece in segments
    )


ANSWER = {"created": 1, "data": [{"url": "https://pictures.example/1"}]}


async def send(upstream: HttpUpstream, **request: Any) -> Answer:
    return await upstream.send(image_request(**request), model_drops_response_format=False, request_id="req_1")


async def body_of(answer: Answer) -> bytes:
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.close()


async def answer_ok(request: Request) -> None:
    await request.answer_json(ANSWER)
