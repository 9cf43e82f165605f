"""What we send: a complete ImagesResponse, or the same as closing events of a stream. The same input gives the same bytes."""

from typing import Any, Final

from app.core.request import ImageRequest, Operation
from app.spool import Segments
from app.upstream.images import Images, image_format
from app.upstream.skeleton import encode

ANSWER_FIELDS: Final = ("background", "output_format", "size", "quality")
"""What an answer may tell of its images, named alike in the relay's body, in ours and in Images."""


def images_response(images: Images, *, created_s: int) -> Segments:
    """OpenAI's ImagesResponse, complete; the long strings stay slices of the relay's body.

    `created_s`, in seconds, stands in where the relay told none. Of the relay's body only what OpenAI has is kept. `auto` is
    a wish, not an answer: such a size, quality or background is left out, and so is `usage` when it is not whole.
    """
    document: dict[str, Any] = {"created": images.created or created_s, "data": images.items}
    document |= {name: value for name in ANSWER_FIELDS if (value := _settled(getattr(images, name))) is not None}
    usage = _usage(images)
    if usage is not None:
        document["usage"] = usage
    return encode(document)


def completed_events(images: Images, operation: Operation, created_s: int, request: ImageRequest) -> list[Segments]:
    """One `*.completed` frame per image, with every field OpenAI's events require.

    What nobody told is `auto` there, the one value clients know for it. The usage of the whole request stands in the last
    event, zeros in those before it and where it is not known: the field is required, and adding up must give the truth.
    """
    last = len(images.items) - 1
    return [
        completed_event(images, item, operation, created_s, request, counted=number == last)
        for number, item in enumerate(images.items)
    ]


def completed_event(
    images: Images, item: dict[str, Any], operation: Operation, created_s: int, request: ImageRequest, *, counted: bool
) -> Segments:
    """The frame for one image; `counted` puts the usage in."""
    document = _event(f"{event_prefix(operation)}.completed", item, images.created or created_s)
    document |= event_facts({name: getattr(images, name) for name in ANSWER_FIELDS}, request, item.get("b64_json"))
    document["usage"] = (_input_counts(images) if counted else None) or _NO_USAGE
    return frame(document)


def partial_event(
    item: dict[str, Any], facts: dict[str, Any], index: int, operation: Operation, created_s: int, request: ImageRequest
) -> Segments:
    """The frame of a picture on its way."""
    document = _event(f"{event_prefix(operation)}.partial_image", item, created_s)
    document |= event_facts(facts, request, item.get("b64_json"))
    return frame(document | {"partial_image_index": index})


def event_prefix(operation: Operation) -> str:
    return "image_generation" if operation == "generation" else "image_edit"


def event_facts(told: dict[str, Any], request: ImageRequest, b64: Any) -> dict[str, str]:
    """size, quality, background and output_format of an event: as told, else as asked, else `auto`."""
    facts = {name: told.get(name) or _asked(request, name) or "auto" for name in ANSWER_FIELDS}
    if facts["output_format"] == "auto":
        facts["output_format"] = (image_format(b64) if b64 else None) or "png"
    return facts


def frame(document: dict[str, Any]) -> Segments:
    """A server-sent event named by the document's `type`."""
    return [f"event: {document['type']}\ndata: ".encode(), *encode(document), b"\n\n"]


_NO_USAGE: Final[dict[str, Any]] = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


def _event(kind: str, item: dict[str, Any], created_at_s: int) -> dict[str, Any]:
    return {"type": kind, **item, "created_at": created_at_s}


def _settled(value: str | None) -> str | None:
    return None if value == "auto" else value


def _asked(request: ImageRequest, name: str) -> str | None:
    value = request.fields.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def _usage(images: Images) -> dict[str, Any] | None:
    document = _input_counts(images)
    if document is not None and images.output_tokens_by_kind is not None:
        text, image = images.output_tokens_by_kind
        document["output_tokens_details"] = {"text_tokens": text, "image_tokens": image}
    return document


def _input_counts(images: Images) -> dict[str, Any] | None:
    """The four counts that are required wherever usage is told; None where one is missing."""
    usage = images.usage
    if usage is None or usage.input_text_tokens is None or usage.input_image_tokens is None:
        return None
    details = {"text_tokens": usage.input_text_tokens, "image_tokens": usage.input_image_tokens}
    return {
        "total_tokens": usage.total_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "input_tokens_details": details,
    }
