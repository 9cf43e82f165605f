"""Incremental JSON parser that replaces long strings by their offsets, and an encoder that writes them back as slices.

An answer with a picture is megabytes of base64 and a few hundred bytes of everything else. Only the latter is kept and parsed.
"""

import codecs
import json
import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.spool import Segments, Slice

SHORT_BYTES_MAX: Final = 1024
EDGE_BYTES: Final = 64
REST_BYTES_MAX: Final = 1024 * 1024
NESTING_MAX: Final = 64

_COMPACT_OPTIONS: Final[dict[str, Any]] = {"ensure_ascii": False, "separators": (",", ":")}
_COMPACT_ENCODER: Final = json.JSONEncoder(**_COMPACT_OPTIONS)
_BACKSLASH: Final = 0x5C
STANDARD_DIGITS: Final = bytes.maketrans(b"-_", b"+/")
"""Table that turns base64 for URLs into standard base64."""
# Only the class is possessive: Python before 3.11.5 matches possessive groups wrongly.
_STRING_CONTENT: Final = re.compile(rb'(?:[^"\\]++|\\.)*', re.DOTALL)
"""Longest run of string content; slower than `find`, so used only after a backslash."""


class MalformedAnswer(Exception):
    """Body that is not one strict JSON document within the limits. The message gives the reason and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class LongString:
    """Position of a string above SHORT_BYTES_MAX: the raw bytes between its quotes, escapes included.

    `offset` counts from the first byte fed. `head` and `tail` are its first and last EDGE_BYTES raw bytes; `escaped`: it
    contains a backslash, `dashed`: a `-` or `_`. It is encoded with `padding` more `=` at its end and, where `url_safe`, with
    the digits of standard base64.
    """

    offset: int
    length: int
    head: bytes
    tail: bytes
    escaped: bool
    dashed: bool = False
    padding: int = 0
    url_safe: bool = False

    @property
    def piece(self) -> Slice:
        return Slice(self.offset, self.length, STANDARD_DIGITS if self.url_safe else None)


class Skeleton:
    """Incremental JSON parser. `feed` takes every byte of an answer, cut anywhere; `document` then returns the parsed answer.

    `feed` never raises, so that the answer is read to its end whatever it holds. Uses at most about 1 MiB of memory.
    """

    def __init__(self, offset: int = 0) -> None:
        """`offset` is that of the first byte fed, to which the offsets of long strings are added."""
        self._offset = offset
        self._nonce = ""
        self._long: dict[str, LongString] = {}
        self._rest = bytearray()
        self._string: _StringReader | None = None
        self._fed_bytes = 0
        self._fault: str | None = None

    def feed(self, data: bytes) -> None:
        """Parse the next bytes, in about 0.1 ms per 2 MB of base64."""
        if self._fed_bytes + len(data) <= SHORT_BYTES_MAX:  # Too short yet to hold a long string.
            self._rest += data
            self._fed_bytes += len(data)
            return
        if self._nonce == "":  # Random, so that no answer can contain a string that looks like a marker.
            self._nonce = secrets.token_hex(16)
            data, self._rest, self._fed_bytes = bytes(self._rest) + data, bytearray(), 0
        at = 0
        while at < len(data) and self._fault is None:
            at = (
                self._read_outside_string(data, at)
                if self._string is None
                else self._read_string(self._string, data, at)
            )
            if len(self._rest) > REST_BYTES_MAX:
                self._reject("more than 1 MiB besides its long strings")
        self._fed_bytes += len(data)

    def document(self) -> Any:
        """Return the parsed answer, with a LongString for every long string. Raises MalformedAnswer.

        Strict: one complete UTF-8 document, no NaN, no infinite number, no duplicate key, nesting of 64 at most.
        """
        if self._fault is None and self._string is not None:
            self._fault = "it breaks off inside a string"
        if self._fault is not None:
            raise MalformedAnswer(f"The answer is not usable: {self._fault}.")
        try:
            parsed = _STRICT_DECODER.decode(self._rest.removeprefix(codecs.BOM_UTF8).decode())
        except (ValueError, RecursionError) as exc:
            raise MalformedAnswer(f"The answer is not strict JSON: {_reason(exc)}.") from exc
        if not self._long and self._rest.count(b"{") + self._rest.count(b"[") <= NESTING_MAX:
            return parsed
        return self._restore_long_strings(parsed, 0)

    def is_text(self, text: bytes) -> bool:
        """True when the answer is `text`, which holds no quotes, such as the `[DONE]` of a stream."""
        return self._string is None and not self._long and self._rest.strip() == text

    def _reject(self, fault: str) -> None:
        self._fault, self._string, self._rest = fault, None, bytearray()

    def _read_outside_string(self, data: bytes, at: int) -> int:
        quote = data.find(b'"', at)
        if quote == -1:
            self._rest += data[at:]
            return len(data)
        self._rest += data[at:quote]
        self._string = _StringReader(self._offset + self._fed_bytes + quote + 1)
        return quote + 1

    def _read_string(self, string: "_StringReader", data: bytes, at: int) -> int:
        quote = string.closing_quote(data, at)
        string.take(data, at, len(data) if quote == -1 else quote)
        if quote == -1:
            return len(data)
        self._string = None
        if string.is_invalid():
            self._reject("a string holds a line break or is not UTF-8")
        elif string.length <= SHORT_BYTES_MAX:
            self._rest += b'"' + string.start + b'"'
        else:
            marker = f"{self._nonce}:{len(self._long)}"
            self._long[marker] = string.to_long_string()
            self._rest += f'"{marker}"'.encode()
        return quote + 1

    def _restore_long_strings(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._long.get(value, value)
        if not isinstance(value, dict | list):
            return value
        if depth == NESTING_MAX:
            raise MalformedAnswer(f"The answer is nested deeper than {NESTING_MAX}.")
        if isinstance(value, dict):
            if self._long.keys() & value.keys():
                raise MalformedAnswer("The answer is not usable: a key is longer than 1 KiB.")
            return {key: self._restore_long_strings(member, depth + 1) for key, member in value.items()}
        return [self._restore_long_strings(item, depth + 1) for item in value]


class _StringReader:
    """Incremental reader of one string, up to its closing quote."""

    def __init__(self, offset: int):
        self.offset = offset
        self.length = 0
        self.start = bytearray()  # The first SHORT_BYTES_MAX + 1 bytes.
        self._tail = b""
        self._invalid = False
        self._has_escapes = False
        self._has_dashes = False
        self._next_is_escaped = False
        self._decoder: codecs.IncrementalDecoder | None = None  # Created at the first piece that is not ASCII.

    def closing_quote(self, data: bytes, at: int) -> int:
        """Find the closing quote in `data` from `at` on, or -1. A quote after an odd number of backslashes is content."""
        low = at + 1 if self._next_is_escaped else at
        quote = data.find(b'"', low)
        end = len(data) if quote == -1 else quote
        if end > low and data[end - 1] == _BACKSLASH:
            end = _STRING_CONTENT.match(data, low).end()  # type: ignore[union-attr]  # it matches the empty string, too
            quote = end if data[end : end + 1] == b'"' else -1
        self._next_is_escaped = data[end : end + 1] == b"\\"
        return quote

    def take(self, data: bytes, at: int, end: int) -> None:
        """Read data[at:end], which is content of the string."""
        room = SHORT_BYTES_MAX + 1 - len(self.start)
        if room > 0:
            self.start += data[at : min(end, at + room)]
        self.length += end - at
        self._tail = (self._tail + data[max(at, end - EDGE_BYTES) : end])[-EDGE_BYTES:]
        self._has_escapes = self._has_escapes or data.find(b"\\", at, end) != -1
        self._has_dashes = self._has_dashes or data.find(b"-", at, end) != -1 or data.find(b"_", at, end) != -1
        self._invalid = self._invalid or data.find(b"\n", at, end) != -1 or not self._continues_utf8(data[at:end])

    def is_invalid(self) -> bool:
        """True when the complete string contains a line break or invalid UTF-8. Other control characters are not checked."""
        return self._invalid or not self._continues_utf8(b"", final=True)

    def to_long_string(self) -> LongString:
        head = bytes(self.start[:EDGE_BYTES])
        return LongString(self.offset, self.length, head, self._tail, self._has_escapes, self._has_dashes)

    def _continues_utf8(self, piece: bytes, *, final: bool = False) -> bool:
        if self._decoder is None:
            if piece.isascii():
                return True
            self._decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            return False
        return True


def encode(document: Any) -> Segments:
    """Encode `document` as compact JSON, its LongStrings as slices of the bytes fed. The same document gives the same bytes."""
    nonce = ""
    long_strings: list[LongString] = []

    def marker(value: Any) -> str:
        nonlocal nonce
        if not isinstance(value, LongString):
            raise TypeError(f"{type(value).__name__} is not JSON")
        nonce = nonce or secrets.token_hex(16)
        long_strings.append(value)
        return nonce

    text = compact_json(document, default=marker)
    if not long_strings:
        return [text]
    first, *others = text.split(nonce.encode())
    segments: Segments = [first]
    for string, after in zip(long_strings, others, strict=True):
        segments += (string.piece, b"=" * string.padding + after)
    return segments


def compact_json(document: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Encode JSON in UTF-8 without spaces. A lone surrogate, which UTF-8 cannot encode, becomes a JSON escape."""
    encoder = _COMPACT_ENCODER if default is None else json.JSONEncoder(default=default, **_COMPACT_OPTIONS)
    return encoder.encode(document).encode(errors="backslashreplace")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has a key twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _reason(exc: Exception) -> str:
    """Describe a parse error without quoting the answer."""
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at byte {exc.pos}"
    if isinstance(exc, RecursionError):
        return "nested too deep"
    return "not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)


_STRICT_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_members, parse_constant=_refuse_constant, parse_float=_finite_float
)
