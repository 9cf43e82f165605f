"""Reader of a 200: its images, checked at the edges of their base64, and its token usage."""

import base64
import binascii
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from app.core.pricing import Usage
from app.upstream.classify import Verdict, unknown
from app.upstream.refusal import error_text, read_error
from app.upstream.skeleton import EDGE_BYTES, STANDARD_DIGITS, LongString

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")
_ESCAPE: Final = re.compile(rb"\\(?:u00([0-9A-Fa-f]{2})|([/nrt])|.?[0-9A-Fa-fu]{0,5}$)")
_DATA_URL: Final = re.compile(rb"data:[\w.+/\\-]{0,30}(?:;[\w-]{1,10}=[\w.-]{1,12})*;base64,\s?", re.IGNORECASE)
_SHORT_TEXT_CHARS_MAX: Final = 64
_STANDARD_DIGITS: Final = str.maketrans("-_", "+/")
_PADDING_MAX: Final = 2


@dataclass(frozen=True, slots=True)
class Images:
    """Content of a 200 with images. Each of `items` holds `b64_json`, `url` and `revised_prompt`, if sent and not empty.

    `short`: fewer images than requested. `bad_payload`: no item is an image; `items` is then empty, although the relay charged.
    `usage` is None when it is incomplete. `output_tokens_by_kind` is (text, image).
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
    """Read a 200 to a request of `n` images. Without images the outcome is unknown: the hold of a 200 is never released."""
    if not isinstance(document, dict):
        return unknown("The upstream answered with something that is not an object.")
    if document.get("error"):
        text = error_text(document["error"])
        verdict = unknown(f"The upstream accepted the request and then reported an error: {text or 'no reason given'}.")
        return replace(verdict, refusal=read_error(200, document["error"]))
    data = document.get("data")
    sent = [item for item in map(_image_fields, data) if item] if isinstance(data, list) else []
    if not sent:
        return unknown("The upstream answered without an image.")
    items = [good for good in map(_checked_item, sent) if good]
    usage = read_usage(document.get("usage"))
    return Images(
        items=items,
        usage=usage,
        output_tokens_by_kind=_tokens_by_kind(document["usage"], "output_tokens_details", usage.output_tokens)
        if usage
        else None,
        size=_short_text(document.get("size")),
        quality=_short_text(document.get("quality")),
        background=_short_text(document.get("background")),
        output_format=_short_text(document.get("output_format")),
        created=_count(document.get("created")) or None,
        short=len(items) < n,
        bad_payload=not items,
    )


def read_usage(usage: Any) -> Usage | None:
    """Read token counts; None without those of input or output. Relays send zero output tokens when they know none, so zero is
    None, too. The price does not need the total, so a missing one is their sum."""
    if not isinstance(usage, dict):
        return None
    total, inputs, outputs = (_count(usage.get(name)) for name in ("total_tokens", "input_tokens", "output_tokens"))
    if inputs is None or not outputs:
        return None
    kinds = _tokens_by_kind(usage, "input_tokens_details", inputs)
    return Usage(inputs + outputs if total is None else total, inputs, outputs, *(kinds or (None, None)))


def image_format(b64: str | LongString) -> str | None:
    """Detect the format of base64 from its first bytes: png, jpeg, webp, gif, svg, or None."""
    head = _first_bytes(b64)
    try:
        start = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except binascii.Error:
        return None
    return _format_of(start)


def merge_images(completed: list[Images], n: int) -> Images:
    """Merge the events of a stream into one answer to a request of `n` images. Each event has the tokens of its own image."""
    items = [item for images in completed for item in images.items]
    usages = [images.usage for images in completed]
    usage = _sum_usage([usage for usage in usages if usage]) if all(usages) else None
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


def _sum_usage(usages: list[Usage]) -> Usage:
    texts, images = [u.input_text_tokens for u in usages], [u.input_image_tokens for u in usages]
    return Usage(
        total_tokens=sum(u.total_tokens for u in usages),
        input_tokens=sum(u.input_tokens for u in usages),
        output_tokens=sum(u.output_tokens for u in usages),
        input_text_tokens=None if None in texts else sum(t or 0 for t in texts),
        input_image_tokens=None if None in images else sum(i or 0 for i in images),
    )


def _image_fields(item: Any) -> dict[str, Any] | None:
    """Pick the fields of an item of `data`; None when it has no image."""
    if not isinstance(item, dict):
        return None
    kept = {key: item[key] for key in ("b64_json", "url", "revised_prompt") if _is_text(item.get(key))}
    return kept if "b64_json" in kept or "url" in kept else None


def _checked_item(item: dict[str, Any]) -> dict[str, Any] | None:
    """Check the base64 of an item, which some relays send as a `data:` URL in `url`. Drop it when it is no image; return None when
    no `url` is left either."""
    url, rest = item.get("url"), {name: value for name, value in item.items() if name != "b64_json"}
    from_url = None if url is None else _without_data_url_prefix(url)
    is_data_url = from_url is not url
    for sent in (item.get("b64_json"), from_url if is_data_url else None):
        b64 = None if sent is None else _standard(_without_data_url_prefix(sent))
        if b64 is not None and _looks_like_base64(b64) and image_format(b64) is not None:
            if is_data_url:
                del rest["url"]
            return {"b64_json": b64} | rest
    return rest if "url" in item else None


def _without_data_url_prefix(b64: str | LongString) -> str | LongString:
    """Strip the `data:image/png;base64,` that some relays send and no client expects."""
    if isinstance(b64, str):
        prefix = _DATA_URL.match(b64[:EDGE_BYTES].encode(errors="replace"))
        return b64[prefix.end() :] if prefix else b64
    prefix = _DATA_URL.match(b64.head)
    if prefix is None:
        return b64
    cut = prefix.end()
    return replace(b64, offset=b64.offset + cut, length=b64.length - cut, head=b64.head[cut:])


def _standard(b64: str | LongString) -> str | LongString:
    """Return base64 in the form that clients can decode: with the digits `+` and `/`, and with its padding, which some relays leave
    out. A last digit that holds no byte is dropped. Escaped base64 keeps the padding it has."""
    if isinstance(b64, str):
        digits = "".join(b64.split()).translate(_STANDARD_DIGITS).rstrip("=")
        digits = digits[: _digits_with_bytes(len(digits))]
        return digits + "=" * (-len(digits) % 4)
    b64, tail = replace(b64, url_safe=b64.dashed), b64.tail.rstrip(b"=")
    padding = len(b64.tail) - len(tail)
    if b64.escaped or (b64.length % 4 == 0 and padding <= _PADDING_MAX):
        return b64
    length = _digits_with_bytes(b64.length - padding)
    tail = tail[: len(tail) - (b64.length - padding - length)]
    return replace(b64, length=length, tail=tail, padding=-length % 4)


def _digits_with_bytes(digits: int) -> int:
    """Return the number of digits without a last one that holds no byte."""
    return digits - (digits % 4 == 1)


def _looks_like_base64(b64: str | LongString) -> bool:
    """Check the alphabet at both ends. Checking the middle of a long string would cost
    more than all other work on an answer."""
    if isinstance(b64, str):
        return _BASE64.fullmatch(b64.encode(errors="replace")) is not None
    head, tail = _first_bytes(b64), b64.tail.translate(STANDARD_DIGITS if b64.url_safe else None)
    if b64.escaped:
        tail = re.sub(rb"[\\\s]", b"", unescaped(tail))
        return _BASE64.match(head) is not None and _BASE64.fullmatch(tail) is not None
    return re.fullmatch(rb"[A-Za-z0-9+/]+", head) is not None and _BASE64.fullmatch(tail) is not None


def _first_bytes(b64: str | LongString) -> bytes:
    if isinstance(b64, str):
        return b64[:EDGE_BYTES].encode(errors="replace")
    head = b64.head.translate(STANDARD_DIGITS if b64.url_safe else None)
    return unescaped(head) if b64.escaped else head


def unescaped(raw: bytes) -> bytes:
    r"""Resolve the escapes that occur in base64 as raw JSON: `\/`, `\u002b` and line breaks. Drops an incomplete one at the end."""

    def character(escape: re.Match[bytes]) -> bytes:
        if escape[1]:
            return bytes([int(escape[1], 16)])
        return b"/" if escape[2] == b"/" else b""

    return _ESCAPE.sub(character, raw)


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


def _tokens_by_kind(usage: dict[str, Any], name: str, total: int) -> tuple[int, int] | None:
    """Return the (text, image) tokens of `usage[name]`; None when one is missing or they do not add up to `total`."""
    details = usage.get(name)
    if not isinstance(details, dict):
        return None
    text, image = _count(details.get("text_tokens")), _count(details.get("image_tokens"))
    return (text, image) if text is not None and image is not None and text + image == total else None


def _count(value: Any) -> int | None:
    """Return a whole number from 0 to below 2**53, else None. Some relays send 1056.0."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < 2**53 else None


def _short_text(value: Any) -> str | None:
    """Return a short printable text such as `1024x1024`; None for anything else."""
    return value if isinstance(value, str) and 0 < len(value) <= _SHORT_TEXT_CHARS_MAX and value.isprintable() else None


def _is_text(value: Any) -> bool:
    """True for a text that says something: a revised prompt that is not kept is blank."""
    return isinstance(value, LongString) or (isinstance(value, str) and value.strip() != "")
