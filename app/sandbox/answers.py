"""The bodies of a success, one family per kind of provider, and the ways a hint bends them."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from .wanted import N_MAX, Wanted

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
class Drawn:
    """A picture, and the address it was put under where the model answers with addresses."""

    content: bytes
    url: str = ""

    @property
    def b64(self) -> str:
        return base64.b64encode(self.content).decode()


def image_count(wanted: Wanted) -> int:
    """How many pictures come back."""
    if wanted.script.images is not None:
        return min(wanted.script.images, N_MAX)
    return {"short": wanted.n - 1, "many": wanted.n + 1, "none": 0}.get(wanted.script.body or "", wanted.n)


def said_size(wanted: Wanted) -> str:
    asked = "1024x1024" if wanted.size in ("", "auto") else wanted.size
    return wanted.script.size or asked


def said_quality(wanted: Wanted) -> str:
    asked = wanted.quality if wanted.quality in OUTPUT_TOKENS else "medium"
    return wanted.script.quality or asked


def usage(wanted: Wanted, images: int) -> Json:
    """Tokens as gpt-image-1 counts them; the hint `tokens` overrides them for the whole answer."""
    text_in, image_in, out = wanted.script.tokens or _tokens(wanted, images)
    return {
        "total_tokens": text_in + image_in + out,
        "input_tokens": text_in + image_in,
        "output_tokens": out,
        "input_tokens_details": {"text_tokens": text_in, "image_tokens": image_in},
    }


def _tokens(wanted: Wanted, images: int) -> tuple[int, int, int]:
    square, other = OUTPUT_TOKENS.get(said_quality(wanted), OUTPUT_TOKENS["medium"])
    per_image = square if said_size(wanted) == "1024x1024" else other
    return max(1, len(wanted.prompt) // 4), INPUT_IMAGE_TOKENS * wanted.image_count, per_image * images


def looks(wanted: Wanted) -> Json:
    """What gpt-image-1 says about its picture, in a plain answer and in every event."""
    return {
        "background": "transparent" if wanted.background == "transparent" else "opaque",
        "output_format": wanted.output_format or "png",
        "quality": said_quality(wanted),
        "size": said_size(wanted),
    }


def success(wanted: Wanted, pictures: list[Drawn], created: int) -> Json:
    """An ordinary answer of the model's family (contract, section 4)."""
    match wanted.model.family:
        case "gpt":
            data = [{"b64_json": picture.b64} for picture in pictures]
            return {"created": created, **looks(wanted), "data": data, "usage": usage(wanted, len(pictures))}
        case "ark":
            return _ark(wanted, pictures, created)
        case "imagen":
            data = [{"url": "", "b64_json": picture.b64, "revised_prompt": ""} for picture in pictures]
            return {"data": data, "created": created}
        case "flux":
            answer: Json = {"data": [{"b64_json": picture.b64} for picture in pictures]}
            return answer if wanted.operation == "edit" else {"created": created, **answer}


def _ark(wanted: Wanted, pictures: list[Drawn], created: int) -> Json:
    key = "b64_json" if wanted.response_format == "b64_json" else "url"
    data = [{key: picture.b64 if key == "b64_json" else picture.url} for picture in pictures]
    tokens = 4096 * len(pictures)
    counts = {"generated_images": len(pictures), "output_tokens": tokens, "total_tokens": tokens}
    return {"model": "doubao-seedream-3-0-t2i-250415", "created": created, "data": data, "usage": counts}


def bent(answer: Json, wanted: Wanted, pictures: list[Drawn]) -> bytes:
    """The answer's bytes after what the hint `body` does to it."""
    match wanted.script.body:
        case "empty":
            return b""
        case "html":
            return CONSOLE_PAGE
        case "error200":
            return encode(ERROR_200)
        case "garbage":
            return b"\x00\xff\xfe not json at all \x80" * 20
        case "huge":
            filler = b"A" * min(wanted.script.bytes, HUGE_BYTES_MAX)
            return b'{"created":1,"data":[{"b64_json":"' + filler + b'"}]}'
        case "truncated":
            whole = encode(answer)
            return whole[: len(whole) * 2 // 3]
    _bend(answer, wanted, pictures)
    return encode(answer)


def _bend(answer: Json, wanted: Wanted, pictures: list[Drawn]) -> None:
    match wanted.script.body:
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
        case "no_usage":
            answer.pop("usage", None)
        case "half_usage":
            answer["usage"] = {"total_tokens": 100}


def encode(answer: Json) -> bytes:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode()
