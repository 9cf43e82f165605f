"""Faults on request: `[[sandbox key=value ...]]` anywhere in a prompt scripts that one answer."""

import re
from dataclasses import dataclass, fields
from typing import get_args

HINT = re.compile(r"\[\[sandbox\b(.*?)\]\]", re.DOTALL)
PAIR = re.compile(r"""([a-z_]+)=("[^"]*"|'[^']*'|\S+)""")

BODIES = frozenset(
    [
        "empty",
        "html",
        "error200",
        "truncated",
        "garbage",
        "not_image",
        "bad_b64",
        "short",
        "none",
        "no_created",
        "empty_strings",
        "url",
        "both",
        "data_url",
        "mixed",
        "many",
        "no_usage",
        "half_usage",
        "huge",
    ]
)
CHOICES = {
    "body": BODIES,
    "reset": frozenset({"before_headers", "mid_body"}),
    "sse": frozenset({"cut", "end", "error", "no_done", "ping"}),
}


class BadHint(ValueError):
    """Unreadable hint; the message names the part."""


@dataclass(frozen=True, slots=True)
class Script:
    """Faults of one answer; with every field at its default it is an ordinary answer."""

    delay: float | None = None
    error: str | None = None
    status: int | None = None
    code: str | None = None
    type: str | None = None
    message: str | None = None
    param: str | None = None
    location: str | None = None
    body: str | None = None
    bytes: int = 1_000_000
    reset: str | None = None
    hang: bool = False
    drip: float | None = None
    images: int | None = None
    tokens: tuple[int, int, int] | None = None
    partials: int | None = None
    sse: str | None = None
    gzip: bool = False
    size: str | None = None
    quality: str | None = None
    charged: bool | None = None
    signed: bool = False


TYPES = {field.name: field.type for field in fields(Script)}


def read_hints(prompt: str) -> tuple[str, Script]:
    """Return the prompt without its hints, and the script they make. Raises BadHint on an unknown key or value."""
    values: dict[str, object] = {}
    for hint in HINT.findall(prompt):
        if left := PAIR.sub("", hint).strip():
            raise BadHint(f"[[sandbox ...]]: cannot read {left!r}")
        for key, text in PAIR.findall(hint):
            values[key] = _value(key, text[1:-1] if text[0] in "\"'" else text)
    return " ".join(HINT.sub(" ", prompt).split()) if values else prompt, Script(**values)  # type: ignore[arg-type]


def _value(key: str, text: str) -> object:
    if key not in TYPES:
        raise BadHint(f"[[sandbox ...]]: unknown key {key!r}")
    if key in CHOICES and text not in CHOICES[key]:
        raise BadHint(f"[[sandbox ...]]: {key} is one of {', '.join(sorted(CHOICES[key]))}")
    try:
        return _convert(TYPES[key], text)
    except ValueError as exc:
        raise BadHint(f"[[sandbox ...]]: {key}={text} is not valid") from exc


def _convert(kind: object, text: str) -> object:
    types = get_args(kind) or (kind,)
    if bool in types:
        return {"1": True, "true": True, "0": False, "false": False}[text] if text in _TRUTH else _refuse()
    if int in types:
        return int(text)
    if float in types:
        return float(text)
    if str in types:
        return text
    text_in, image_in, out = map(int, text.split(":"))
    return text_in, image_in, out


_TRUTH = frozenset({"0", "1", "true", "false"})


def _refuse() -> bool:
    raise ValueError("neither 0 nor 1")
