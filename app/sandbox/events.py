"""A streamed answer of profile N: server-sent events with partial pictures (contract, section 8)."""

import json
from collections.abc import Iterator

from .answers import Drawn, Json, looks, usage
from .errors import envelope
from .wanted import Wanted

DONE = b"data: [DONE]\n\n"
PING = b": PING\n\n"


def frame(event: Json) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def events(wanted: Wanted, pictures: list[Drawn], created: int) -> Iterator[bytes]:
    """The frames of an answer, as the hint `sse` bends them. With `sse=cut` the last piece is half a frame."""
    fault = wanted.script.sse
    frames = _provider_frames(wanted, pictures, created) if wanted.model.family == "gpt" else _made(pictures, created)
    for piece in frames:
        completed = b".completed\n" in piece[:64]
        if fault == "ping":
            yield PING
        if completed and fault in ("cut", "end", "error"):
            yield from _broken(fault, piece)
            return
        yield piece
    if fault != "no_done":
        yield DONE


def _broken(fault: str, piece: bytes) -> Iterator[bytes]:
    if fault == "cut":
        yield piece[: len(piece) // 2]
    if fault == "error":
        error = envelope("The provider gave up.", "server_error", code="server_error")
        yield f"data: {json.dumps(error)}\n\n".encode()


def _provider_frames(wanted: Wanted, pictures: list[Drawn], created: int) -> Iterator[bytes]:
    kind = "image_edit" if wanted.operation == "edit" else "image_generation"
    partials = wanted.partial_images if wanted.script.partials is None else wanted.script.partials
    for picture in pictures:
        body = {"b64_json": picture.b64, "created_at": created, **looks(wanted)}
        for index in range(partials):
            yield frame({"type": f"{kind}.partial_image", "partial_image_index": index, **body})
        yield frame({"type": f"{kind}.completed", **body, "usage": usage(wanted, 1)})


def _made(pictures: list[Drawn], created: int) -> Iterator[bytes]:
    """What the relay makes of a provider's plain JSON: one completed event per picture, also for edits."""
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
