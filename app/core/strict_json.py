"""Strict JSON (RFC 8259): text that two parsers could read in two ways is refused.

The parser of the standard library accepts NaN, uses the last of two equal keys, reads 1e400 as infinity and has no depth limit.
"""

import codecs
import json
import math
import re
from typing import Any, NoReturn

from app.errors import DuplicateKey, InvalidJson

DEPTH_MAX = 32
TOKENS_MAX = 20_000
"""Most brackets and commas outside strings. They bound the memory, because `[[],[],...]` grows to 30 times its bytes."""

# A whole string, or one structural character. The closing quote is optional, so that the pattern never backtracks. Possessive
# quantifiers stand after single characters only: after groups, Python before 3.11.5 matches them wrongly.
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*"?|[\[\]{},]', re.DOTALL)


def loads(data: bytes, *, depth_max: int = DEPTH_MAX) -> Any:
    """Parse the one JSON document in `data` (UTF-8, a byte order mark is allowed).

    Raises InvalidJson (not UTF-8, not JSON, NaN, Infinity, numbers beyond a double, lone surrogates, nesting deeper
    than `depth_max`, more than TOKENS_MAX brackets and commas) and DuplicateKey (at any level, `param` names the key).
    """
    text = _decode(data)
    _check_shape(data, depth_max)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise InvalidJson(f"The body is not valid JSON: {exc.msg} at character {exc.pos}.") from exc
    except ValueError as exc:  # An integer of thousands of digits: Python refuses to convert it.
        raise InvalidJson("The body is not valid JSON here: a number has too many digits.") from exc
    if b"\\u" in data:  # Unescaped surrogates are not valid UTF-8.
        _check_surrogates(value)
    return value


def _decode(data: bytes) -> str:
    if not data.strip():
        raise InvalidJson("The body is empty; send a JSON object.")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as exc:
        raise InvalidJson(f"The body is not UTF-8 at byte {exc.start}; send JSON encoded as UTF-8.") from exc


def _check_shape(data: bytes, depth_max: int) -> None:
    """Check depth and size of the document before the parser recurses into it; stops after TOKENS_MAX tokens."""
    brackets = data.count(b"{") + data.count(b"[")
    if brackets <= depth_max and 2 * brackets + data.count(b",") <= TOKENS_MAX:
        return  # Within both limits even if all of them are nested and outside strings.
    depth = tokens = 0
    for match in _TOKENS.finditer(data):
        token = data[match.start()]
        if token == 0x22:
            continue
        tokens += 1
        depth += token in b"[{"
        depth -= token in b"]}"
        if depth > depth_max:
            raise InvalidJson(f"The JSON is nested deeper than {depth_max} levels; flatten it.")
        if tokens > TOKENS_MAX:
            raise InvalidJson(f"The JSON has more than {TOKENS_MAX} brackets and commas; send fewer values.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise DuplicateKey(f"The key {key[:64]!r} appears twice in one object; send it once.", param=key[:64])
        seen.add(key)
    return result


def _constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not a JSON number; send a finite number or null.")


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise InvalidJson(f"The number {digits[:32]} is too large; numbers go up to about 1.8e308.")
    return value


def _check_surrogates(value: Any) -> None:
    for key, item in value.items() if isinstance(value, dict) else [(None, value)]:
        try:
            json.dumps([key, item], ensure_ascii=False).encode()
        except UnicodeEncodeError as exc:
            message = "A string holds half of a surrogate pair (\\ud800 to \\udfff); send whole characters."
            raise InvalidJson(message, param=None if key is None else ascii(key[:64])[1:-1]) from exc


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
