"""What a 200 says: the images in it, checked as far as their edges tell, and what they used up."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final

from app.core.pricing import Usage
from app.upstream.classify import Verdict, error_text, unknown
from app.upstream.skeleton import EDGE_BYTES, LongString

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_ESCAPE: Final = re.compile(rb"\\(?:u00([0-9A-Fa-f]{2})|([/nrt])|.?[0-9A-Fa-fu]{0,5}$)")
_DATA_URL: Final = re.compile(rb"data:image\\?/[\w.+-]{1,20};base64,", re.IGNORECASE)
_WORD_CHARS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Images:
    """A 200 that carries images. `items` hold `b64_json`, `url` and `revised_prompt`, as far as told and not empty.

    `short`: fewer than asked. `bad_payload`: none of what came is an image; `items` is then empty, and the relay has charged
    all the same. `usage` is None where it is not whole. `output_tokens_by_kind` is (text, image).
    """

    items: list[dict[str, Any]]
    usage: Usage | None
    output_tokens_by_kind: tuple[int, int] | None
    size: str | None
    quality: str | None
    background: str | None
    output_format: str | None
    created: int | None
    short: bool
    bad_payload: bool


def read_images(document: Any, n: int) -> Images | Verdict:
    """The images of a 200 that was asked for `n`. Where there are none the outcome is unknown: a 200 is never given back."""
    if not isinstance(document, dict):
        return unknown("The upstream answered with something that is not an object.")
    if document.get("error"):
        text = error_text(document["error"])
        return unknown(f"The upstream accepted the request and then reported an error: {text or 'no reason given'}.")
    data = document.get("data")
    sent = [item for item in map(_item, data) if item] if isinstance(data, list) else []
    if not sent:
        return unknown("The upstream answered without an image.")
    items = [good for good in map(_without_bad_payload, sent) if good]
    usage = read_usage(document.get("usage"))
    return Images(
        items=items,
        usage=usage,
        output_tokens_by_kind=_kinds(document["usage"], "output_tokens_details", usage.output_tokens)
        if usage
        else None,
        size=_word(document.get("size")),
        quality=_word(document.get("quality")),
        background=_word(document.get("background")),
        output_format=_word(document.get("output_format")),
        created=_count(document.get("created")) or None,
        short=len(items) < n,
        bad_payload=not items,
    )


def read_usage(usage: Any) -> Usage | None:
    """Token counts, whole or None. Counts of zero come from relays that were told none: they are not told here either."""
    if not isinstance(usage, dict):
        return None
    total, inputs, outputs = (_count(usage.get(name)) for name in ("total_tokens", "input_tokens", "output_tokens"))
    if total is None or inputs is None or not outputs:
        return None
    kinds = _kinds(usage, "input_tokens_details", inputs)
    return Usage(total, inputs, outputs, *(kinds or (None, None)))


def image_format(b64: str | LongString) -> str | None:
    """What the first bytes of base64 decode to: png, jpeg, webp, gif, svg, or None."""
    head = _head(b64)
    try:
        start = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except binascii.Error:
        return None
    return _format_of(start)


def together(completed: list[Images], n: int) -> Images:
    """One answer made of its events. Tokens add up: each event tells those of its own image."""
    items = [item for images in completed for item in images.items]
    told = [images.usage for images in completed]
    usage = _sum([usage for usage in told if usage]) if all(told) else None
    last = completed[-1]
    return Images(
        items=items,
        usage=usage,
        output_tokens_by_kind=None,
        size=last.size,
        quality=last.quality,
        background=last.background,
        output_format=last.output_format,
        created=last.created,
        short=len(items) < n,
        bad_payload=not items,
    )


def _sum(usages: list[Usage]) -> Usage:
    texts, images = [u.input_text_tokens for u in usages], [u.input_image_tokens for u in usages]
    return Usage(
        total_tokens=sum(u.total_tokens for u in usages),
        input_tokens=sum(u.input_tokens for u in usages),
        output_tokens=sum(u.output_tokens for u in usages),
        input_text_tokens=None if None in texts else sum(t or 0 for t in texts),
        input_image_tokens=None if None in images else sum(i or 0 for i in images),
    )


def _item(item: Any) -> dict[str, Any] | None:
    """What counts of an item of `data`; None where there is no image in it."""
    if not isinstance(item, dict):
        return None
    kept = {key: item[key] for key in ("b64_json", "url", "revised_prompt") if _is_text(item.get(key))}
    return kept if "b64_json" in kept or "url" in kept else None


def _without_bad_payload(item: dict[str, Any]) -> dict[str, Any] | None:
    """The item with its base64 bare; without it where it is no image; None where nothing is left."""
    if "b64_json" not in item:
        return item
    b64 = _bare(item["b64_json"])
    if _is_whole_base64(b64) and image_format(b64) is not None:
        return item | {"b64_json": b64}
    return {key: value for key, value in item.items() if key != "b64_json"} if "url" in item else None


def _bare(b64: str | LongString) -> str | LongString:
    """Without the `data:image/png;base64,` that some relays put before it and no client expects."""
    if isinstance(b64, str):
        prefix = _DATA_URL.match(b64[:EDGE_BYTES].encode(errors="replace"))
        return b64[prefix.end() :] if prefix else b64
    prefix = _DATA_URL.match(b64.head)
    if prefix is None:
        return b64
    cut = prefix.end()
    return LongString(b64.offset + cut, b64.length - cut, b64.head[cut:], b64.tail, b64.escaped)


def _is_whole_base64(b64: str | LongString) -> bool:
    """By alphabet at both ends, and by length where no escape hides it. The middle is not looked at: that would cost more
    than everything else that is done with an answer."""
    if isinstance(b64, str):
        return len(b64) % 4 == 0 and _BASE64.fullmatch(b64.encode(errors="replace")) is not None
    if b64.escaped:
        tail = re.sub(rb"[\\\s]", b"", _plain(b64.tail))
        return _BASE64.match(_plain(b64.head)) is not None and _BASE64.fullmatch(tail) is not None
    edges = re.fullmatch(rb"[A-Za-z0-9+/]+", b64.head) and _BASE64.fullmatch(b64.tail)
    return b64.length % 4 == 0 and edges is not None


def _head(b64: str | LongString) -> bytes:
    if isinstance(b64, str):
        return b64[:EDGE_BYTES].encode(errors="replace")
    return _plain(b64.head) if b64.escaped else b64.head


def _plain(raw: bytes) -> bytes:
    r"""Raw JSON string content without its escapes, as base64 has them: `\/`, `\u002b` and line breaks. Half ones are dropped."""

    def plain(escape: re.Match[bytes]) -> bytes:
        if escape[1]:
            return bytes([int(escape[1], 16)])
        return b"/" if escape[2] == b"/" else b""

    return _ESCAPE.sub(plain, raw)


def _format_of(start: bytes) -> str | None:
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "webp"
    if start.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return "svg" if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) else None


def _kinds(usage: dict[str, Any], name: str, whole: int) -> tuple[int, int] | None:
    """(text, image) tokens of `usage[name]`; None where they are not both told or do not add up to `whole`."""
    details = usage.get(name)
    if not isinstance(details, dict):
        return None
    text, image = _count(details.get("text_tokens")), _count(details.get("image_tokens"))
    return (text, image) if text is not None and image is not None and text + image == whole else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 2**53 else None


def _word(value: Any) -> str | None:
    """A short name such as `1024x1024`; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= _WORD_CHARS_MAX and value.isprintable() else None


def _is_text(value: Any) -> bool:
    return isinstance(value, LongString) or (isinstance(value, str) and value != "")
