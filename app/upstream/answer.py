"""Answers in OpenAI's format: an ImagesResponse, or the events of a stream. The same input gives the same bytes."""

from typing import Any, Final

from app.core.request import ImageRequest, Operation
from app.spool import Segments
from app.upstream.images import Images, image_format
from app.upstream.skeleton import encode

ANSWER_FIELDS: Final = ("background", "output_format", "size", "quality")
"""Optional fields of an answer, with the same names in the relay's body, in ours and in Images."""


def images_response(images: Images, *, created_s: int) -> Segments:
    """Encode OpenAI's ImagesResponse; its long strings are slices of the relay's body.

    `created_s`, Unix seconds, is used when the relay sent no `created`. Fields that OpenAI does not have are dropped. A size,
    quality or background of `auto` does not describe the result, so it is left out. So is an incomplete `usage`.
    """
    document: dict[str, Any] = {"created": images.created or created_s, "data": images.items}
    document |= {name: value for name in ANSWER_FIELDS if (value := _unless_auto(getattr(images, name))) is not None}
    usage = _usage(images)
    if usage is not None:
        document["usage"] = usage
    return encode(document)


def completed_events(images: Images, operation: Operation, created_s: int, request: ImageRequest) -> list[Segments]:
    """Encode one `*.completed` frame per image, with every field that OpenAI's events require.

    An unknown field is `auto`, the value that clients accept for it. The last event carries the usage of the whole request. The
    events before it carry zeros, and so does every event when the usage is unknown: the field is required, and the sum over
    all events must be correct.
    """
    last = len(images.items) - 1
    return [
        completed_event(images, item, operation, created_s, request, with_usage=number == last)
        for number, item in enumerate(images.items)
    ]


def completed_event(
    images: Images,
    item: dict[str, Any],
    operation: Operation,
    created_s: int,
    request: ImageRequest,
    *,
    with_usage: bool,
) -> Segments:
    """Encode the `*.completed` frame of one image. Without `with_usage` its token counts are zeros."""
    document = _event(f"{event_prefix(operation)}.completed", item, images.created or created_s)
    document |= event_fields({name: getattr(images, name) for name in ANSWER_FIELDS}, request, item.get("b64_json"))
    document["usage"] = (_required_counts(images) if with_usage else None) or _NO_USAGE
    return frame(document)


def partial_event(
    item: dict[str, Any],
    answered: dict[str, Any],
    index: int,
    operation: Operation,
    created_s: int,
    request: ImageRequest,
) -> Segments:
    """Encode the frame of a partial image, number `index`."""
    document = _event(f"{event_prefix(operation)}.partial_image", item, created_s)
    document |= event_fields(answered, request, item.get("b64_json"))
    return frame(document | {"partial_image_index": index})


def event_prefix(operation: Operation) -> str:
    return "image_generation" if operation == "generation" else "image_edit"


def event_fields(answered: dict[str, Any], request: ImageRequest, b64: Any) -> dict[str, str]:
    """Return size, quality, background and output_format of an event: as answered, else as requested, else `auto`."""
    fields = {name: answered.get(name) or _requested(request, name) or "auto" for name in ANSWER_FIELDS}
    if fields["output_format"] == "auto":
        fields["output_format"] = (image_format(b64) if b64 else None) or "png"
    return fields


def frame(document: dict[str, Any]) -> Segments:
    """Encode a server-sent event named after the document's `type`."""
    return [f"event: {document['type']}\ndata: ".encode(), *encode(document), b"\n\n"]


_NO_USAGE: Final[dict[str, Any]] = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


def _event(kind: str, item: dict[str, Any], created_at_s: int) -> dict[str, Any]:
    return {"type": kind, **item, "created_at": created_at_s}


def _unless_auto(value: str | None) -> str | None:
    return None if value == "auto" else value


def _requested(request: ImageRequest, name: str) -> str | None:
    value = request.fields.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= 64 else None


def _usage(images: Images) -> dict[str, Any] | None:
    document = _required_counts(images)
    if document is not None and images.output_tokens_by_kind is not None:
        text, image = images.output_tokens_by_kind
        document["output_tokens_details"] = {"text_tokens": text, "image_tokens": image}
    return document


def _required_counts(images: Images) -> dict[str, Any] | None:
    """Return the counts that OpenAI requires in `usage`; None when one is missing."""
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
