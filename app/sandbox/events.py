"""Streamed answers of profile N: server-sent events with partial pictures."""

import json
from collections.abc import Iterator

from .answers import Drawing, Json, image_parameters, usage
from .errors import envelope
from .orders import ImageOrder

DONE = b"data: [DONE]\n\n"
PING = b": PING\n\n"


def frame(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def events(order: ImageOrder, pictures: list[Drawing], created: int) -> Iterator[bytes]:
    """Yield the frames of an answer with the fault of the hint `sse`. With `sse=cut` the last piece is half a frame."""
    fault = order.script.sse
    frames = (
        _provider_frames(order, pictures, created)
        if order.model.family == "gpt"
        else _converted_frames(pictures, created)
    )
    for piece in frames:
        completed = b".completed\n" in piece[:64]
        if fault == "ping":
            yield PING
        if completed and fault in ("cut", "end", "error"):
            yield from _broken(fault, piece, order.script.code or "server_error")
            return
        yield piece
    if fault != "no_done":
        yield DONE


def _broken(fault: str, piece: bytes, code: str) -> Iterator[bytes]:
    if fault == "cut":
        yield piece[: len(piece) // 2]
    if fault == "error":
        error = envelope("The provider gave up.", "server_error", code=code)
        yield f"data: {json.dumps(error)}\n\n".encode()


def _provider_frames(order: ImageOrder, pictures: list[Drawing], created: int) -> Iterator[bytes]:
    kind = "image_edit" if order.operation == "edit" else "image_generation"
    partials = order.partial_images if order.script.partials is None else order.script.partials
    for picture in pictures:
        body = {"b64_json": picture.b64, "created_at": created, **image_parameters(order)}
        for index in range(partials):
            yield frame({"type": f"{kind}.partial_image", "partial_image_index": index, **body})
        yield frame({"type": f"{kind}.completed", **body, "usage": usage(order, 1)})


def _converted_frames(pictures: list[Drawing], created: int) -> Iterator[bytes]:
    """Convert a provider's plain JSON as the relay does: one completed event per picture, also for edits."""
    for picture in pictures:
        yield frame(
            {
                "type": "image_generation.completed",
                "created_at": created,
                "usage": None,
                "url": picture.url,
                "revised_prompt": "",
                "b64_json": "" if picture.url else picture.b64,
            }
        )
