"""Bodies of successful answers, one form per family of models, and the faults that a hint puts into them."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from .orders import N_MAX, ImageOrder

Json = dict[str, Any]

# Output tokens of gpt-image-1 for a square picture and for the two other sizes.
OUTPUT_TOKENS = {"low": (272, 408), "medium": (1056, 1584), "high": (4160, 6240)}
INPUT_IMAGE_TOKENS = 323
HUGE_BYTES_MAX = 512 * 1024 * 1024
CONSOLE_PAGE = (
    b"<!doctype html><html lang='zh'><head><meta charset='utf-8'><title>New API</title></head>"
    b"<body><div id='root'>New API</div></body></html>"
)
ERROR_200 = {
    "error": {
        "message": "The provider could not draw this.",
        "type": "server_error",
        "param": "",
        "code": "server_error",
    }
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn picture, and its URL if the model answers with URLs."""

    content: bytes
    url: str = ""

    @property
    def b64(self) -> str:
        return base64.b64encode(self.content).decode()


def image_count(order: ImageOrder) -> int:
    """Number of pictures in the answer."""
    if order.script.images is not None:
        return min(order.script.images, N_MAX)
    return {"short": order.n - 1, "many": order.n + 1, "none": 0}.get(order.script.body or "", order.n)


def answered_size(order: ImageOrder) -> str:
    asked = "1024x1024" if order.size in ("", "auto") else order.size
    return order.script.size or asked


def answered_quality(order: ImageOrder) -> str:
    asked = order.quality if order.quality in OUTPUT_TOKENS else "medium"
    return order.script.quality or asked


def usage(order: ImageOrder, images: int) -> Json:
    """Token counts of gpt-image-1; the hint `tokens` replaces them."""
    text_in, image_in, out = order.script.tokens or _tokens(order, images)
    return {
        "total_tokens": text_in + image_in + out,
        "input_tokens": text_in + image_in,
        "output_tokens": out,
        "input_tokens_details": {"text_tokens": text_in, "image_tokens": image_in},
    }


def _tokens(order: ImageOrder, images: int) -> tuple[int, int, int]:
    square, other = OUTPUT_TOKENS.get(answered_quality(order), OUTPUT_TOKENS["medium"])
    per_image = square if answered_size(order) == "1024x1024" else other
    return max(1, len(order.prompt) // 4), INPUT_IMAGE_TOKENS * order.image_count, per_image * images


def image_parameters(order: ImageOrder) -> Json:
    """Fields that gpt-image-1 adds to a plain answer and to every event."""
    return {
        "background": "transparent" if order.background == "transparent" else "opaque",
        "output_format": order.output_format or "png",
        "quality": answered_quality(order),
        "size": answered_size(order),
    }


def success(order: ImageOrder, pictures: list[Drawing], created: int) -> Json:
    """Build the body of a successful answer in the form of the model's family."""
    match order.model.family:
        case "gpt":
            data = [{"b64_json": picture.b64} for picture in pictures]
            return {"created": created, **image_parameters(order), "data": data, "usage": usage(order, len(pictures))}
        case "ark":
            return _ark(order, pictures, created)
        case "imagen":
            data = [{"url": "", "b64_json": picture.b64, "revised_prompt": ""} for picture in pictures]
            return {"data": data, "created": created}
        case "flux":
            answer: Json = {"data": [{"b64_json": picture.b64} for picture in pictures]}
            return answer if order.operation == "edit" else {"created": created, **answer}


def _ark(order: ImageOrder, pictures: list[Drawing], created: int) -> Json:
    key = "b64_json" if order.response_format == "b64_json" else "url"
    data = [{key: picture.b64 if key == "b64_json" else picture.url} for picture in pictures]
    tokens = 4096 * len(pictures)
    counts = {"generated_images": len(pictures), "output_tokens": tokens, "total_tokens": tokens}
    return {"model": "doubao-seedream-3-0-t2i-250415", "created": created, "data": data, "usage": counts}


def faulty_body(answer: Json, order: ImageOrder, pictures: list[Drawing]) -> bytes:
    """Encode the answer with the fault that the hint `body` asks for."""
    match order.script.body:
        case "empty":
            return b""
        case "html":
            return CONSOLE_PAGE
        case "error200":
            return encode(ERROR_200)
        case "garbage":
            return b"\x00\xff\xfe not json at all \x80" * 20
        case "huge":
            filler = b"A" * min(order.script.bytes, HUGE_BYTES_MAX)
            return b'{"created":1,"data":[{"b64_json":"' + filler + b'"}]}'
        case "truncated":
            whole = encode(answer)
            return whole[: len(whole) * 2 // 3]
    _add_fault(answer, order, pictures)
    return encode(answer)


def _add_fault(answer: Json, order: ImageOrder, pictures: list[Drawing]) -> None:
    match order.script.body:
        case "not_image":
            text = base64.b64encode(b"This is text, not a picture. " * 8).decode()
            answer["data"] = [{"b64_json": text} for _ in pictures]
        case "bad_b64":
            answer["data"] = [{"b64_json": picture.b64[:-7] + "%"} for picture in pictures]
        case "no_created":
            answer.pop("created", None)
        case "empty_strings":
            answer["data"] = [{"url": "", "b64_json": picture.b64, "revised_prompt": ""} for picture in pictures]
        case "url":
            answer["data"] = [{"url": picture.url} for picture in pictures]
        case "both":
            answer["data"] = [{"url": picture.url, "b64_json": picture.b64} for picture in pictures]
        case "data_url":
            answer["data"] = [{"b64_json": f"data:image/png;base64,{picture.b64}"} for picture in pictures]
        case "mixed":
            answer["data"] = [
                {"b64_json": picture.b64} if number % 2 else {"url": picture.url, "revised_prompt": "as drawn"}
                for number, picture in enumerate(pictures)
            ]
        case "no_usage":
            answer.pop("usage", None)
        case "half_usage":
            answer["usage"] = {"total_tokens": 100}


def encode(answer: Json) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
