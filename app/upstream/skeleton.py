"""Reads a JSON answer as it passes without holding it, and writes it back with the long strings left where they lie.

A pictured answer is megabytes of base64 and a few hundred bytes that say something. Only the latter is kept and parsed.
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

_COMPACTLY: Final[dict[str, Any]] = {"ensure_ascii": False, "separators": (",", ":")}
_COMPACT: Final = json.JSONEncoder(**_COMPACTLY)
_BACKSLASH: Final = 0x5C
_CONTENT: Final = re.compile(
    rb'(?:[^"\\]++|\\.)*', re.DOTALL
)  # Python before 3.11.5 matches possessive groups wrongly.
"""What may stand in a string, as far as it goes; slower than `find`, so only used next to a backslash."""


class MalformedAnswer(Exception):
    """What came is not one strict JSON document within the caps; the message says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class LongString:
    """A string above SHORT_BYTES_MAX, as it lies between its quotes: raw, escapes and all.

    `offset` counts from the first byte fed. `head` and `tail` are its first and last EDGE_BYTES raw bytes; `escaped` says
    whether a backslash occurs in it.
    """

    offset: int
    length: int
    head: bytes
    tail: bytes
    escaped: bool

    @property
    def piece(self) -> Slice:
        return Slice(self.offset, self.length)


class Skeleton:
    """Feed it every byte of an answer, cut anywhere; `document` then tells what it said.

    `feed` never raises: the answer is read on to its end whatever it holds. Memory stays below about 1 MiB.
    """

    def __init__(self) -> None:
        self._nonce = ""
        self._long: dict[str, LongString] = {}
        self._rest = bytearray()
        self._string: _OpenString | None = None
        self._fed_bytes = 0
        self._fault: str | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes. About 0.1 ms per 2 MB of base64."""
        if self._fed_bytes + len(data) <= SHORT_BYTES_MAX:  # So far nothing in it can be long.
            self._rest += data
            self._fed_bytes += len(data)
            return
        if self._nonce == "":  # Drawn per answer, so that nobody can send a string that looks like a marker.
            self._nonce = secrets.token_hex(16)
            data, self._rest, self._fed_bytes = bytes(self._rest) + data, bytearray(), 0
        at = 0
        while at < len(data) and self._fault is None:
            at = self._outside(data, at) if self._string is None else self._inside(self._string, data, at)
            if len(self._rest) > REST_BYTES_MAX:
                self._give_up("more than 1 MiB besides its long strings")
        self._fed_bytes += len(data)

    def document(self) -> Any:
        """What was fed, parsed, with a LongString for every long string. Raises MalformedAnswer.

        Strict: one whole UTF-8 document, no NaN, no infinite number, no key twice, nesting of 64 at most.
        """
        if self._fault is None and self._string is not None:
            self._fault = "it breaks off inside a string"
        if self._fault is not None:
            raise MalformedAnswer(f"The answer is not usable: {self._fault}.")
        try:
            parsed = _STRICT.decode(self._rest.removeprefix(codecs.BOM_UTF8).decode())
        except (ValueError, RecursionError) as exc:
            raise MalformedAnswer(f"The answer is not strict JSON: {_reason(exc)}.") from exc
        if not self._long and self._rest.count(b"{") + self._rest.count(b"[") <= NESTING_MAX:
            return parsed
        return self._filled(parsed, 0)

    def _give_up(self, fault: str) -> None:
        self._fault, self._string, self._rest = fault, None, bytearray()

    def _outside(self, data: bytes, at: int) -> int:
        quote = data.find(b'"', at)
        if quote == -1:
            self._rest += data[at:]
            return len(data)
        self._rest += data[at:quote]
        self._string = _OpenString(self._fed_bytes + quote + 1)
        return quote + 1

    def _inside(self, string: "_OpenString", data: bytes, at: int) -> int:
        quote = string.closing_quote(data, at)
        string.take(data, at, len(data) if quote == -1 else quote)
        if quote == -1:
            return len(data)
        self._string = None
        if string.is_broken():
            self._give_up("a string holds a line break or is not UTF-8")
        elif string.length <= SHORT_BYTES_MAX:
            self._rest += b'"' + string.start + b'"'
        else:
            marker = f"{self._nonce}:{len(self._long)}"
            self._long[marker] = string.closed()
            self._rest += f'"{marker}"'.encode()
        return quote + 1

    def _filled(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._long.get(value, value)
        if not isinstance(value, dict | list):
            return value
        if depth == NESTING_MAX:
            raise MalformedAnswer(f"The answer is nested deeper than {NESTING_MAX}.")
        if isinstance(value, dict):
            if self._long.keys() & value.keys():
                raise MalformedAnswer("The answer is not usable: a key is longer than 1 KiB.")
            return {key: self._filled(member, depth + 1) for key, member in value.items()}
        return [self._filled(item, depth + 1) for item in value]


class _OpenString:
    """A string whose closing quote has not come yet."""

    def __init__(self, offset: int):
        self.offset = offset
        self.length = 0
        self.start = bytearray()  # the first SHORT_BYTES_MAX + 1 bytes
        self._tail = b""
        self._broken = False
        self._has_escapes = False
        self._next_is_escaped = False
        self._decoder: codecs.IncrementalDecoder | None = None  # from the first piece on that is not ASCII

    def closing_quote(self, data: bytes, at: int) -> int:
        """Where the string ends in `data`, or -1. A quote after an odd run of backslashes does not end it."""
        low = at + 1 if self._next_is_escaped else at
        quote = data.find(b'"', low)
        end = len(data) if quote == -1 else quote
        if end > low and data[end - 1] == _BACKSLASH:
            end = _CONTENT.match(data, low).end()  # type: ignore[union-attr]  # it matches the empty string, too
            quote = end if data[end : end + 1] == b'"' else -1
        self._next_is_escaped = data[end : end + 1] == b"\\"
        return quote

    def take(self, data: bytes, at: int, end: int) -> None:
        """Note what lies in data[at:end]."""
        room = SHORT_BYTES_MAX + 1 - len(self.start)
        if room > 0:
            self.start += data[at : min(end, at + room)]
        self.length += end - at
        self._tail = (self._tail + data[max(at, end - EDGE_BYTES) : end])[-EDGE_BYTES:]
        self._has_escapes = self._has_escapes or data.find(b"\\", at, end) != -1
        self._broken = self._broken or data.find(b"\n", at, end) != -1 or not self._utf8_goes_on(data[at:end])

    def is_broken(self) -> bool:
        """Whether the whole string holds what no JSON string may hold, as far as this is looked at: see `take`."""
        return self._broken or not self._utf8_goes_on(b"", final=True)

    def closed(self) -> LongString:
        return LongString(self.offset, self.length, bytes(self.start[:EDGE_BYTES]), self._tail, self._has_escapes)

    def _utf8_goes_on(self, piece: bytes, *, final: bool = False) -> bool:
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
    """`document` as compact JSON, its LongStrings as slices of what was fed. The same document gives the same bytes."""
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
        segments += (string.piece, after)
    return segments


def compact_json(document: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """JSON in UTF-8 without spare spaces; a lone surrogate, which UTF-8 cannot hold, is escaped as JSON does it."""
    encoder = _COMPACT if default is None else json.JSONEncoder(default=default, **_COMPACTLY)
    return encoder.encode(document).encode(errors="backslashreplace")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object has a key twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _reason(exc: Exception) -> str:
    """Why, without a word of the answer itself."""
    if isinstance(exc, json.JSONDecodeError):
        return f"{exc.msg} at byte {exc.pos}"
    if isinstance(exc, RecursionError):
        return "nested too deep"
    return "not UTF-8" if isinstance(exc, UnicodeDecodeError) else str(exc)


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant, parse_float=_finite)
