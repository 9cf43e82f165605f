"""Decoder of a picture in an answer of the relay: its base64 is read from the spool and decoded in pieces."""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from app.spool import Spool
from app.upstream.images import unescaped
from app.upstream.skeleton import STANDARD_DIGITS, LongString

_DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_NO_DIGITS: Final = bytes(byte for byte in range(256) if byte not in _DIGITS)
_PADDING: Final = (b"", b"===", b"==", b"=")
"""Padding by the number of digits in the last group; a single digit holds no byte and is dropped."""
_ESCAPE_BYTES_MAX: Final = 6


def decoded(b64: str | LongString, spool: Spool) -> Iterator[bytes]:
    r"""Yield the bytes of a picture. The string lies in `spool` when it is long.

    Padding, line breaks and other bytes that are no digits are skipped, because relays escape and wrap base64; `-` and `_` are
    digits as well as `+` and `/`. Raises EOFError
    as `Spool.chunks` does.
    """
    digits = b""
    for piece in _text(b64, spool):
        digits += piece.translate(STANDARD_DIGITS, _NO_DIGITS)
        whole = len(digits) // 4 * 4
        yield binascii.a2b_base64(digits[:whole])
        digits = digits[whole:]
    if len(digits) > 1:
        yield binascii.a2b_base64(digits + _PADDING[len(digits)])


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """Picture as base64 in an answer; the string lies in `spool` when it is long. `size_bytes` is the length of the picture.
    `is_plain`: the string holds nothing but digits and padding, so that a part of it can be decoded alone."""

    b64: str | LongString
    spool: Spool
    size_bytes: int
    is_plain: bool

    def chunks(self, wanted: range) -> Iterator[bytes]:
        """Yield the bytes of the picture in `wanted`, which is not empty. Where earlier bytes have to be decoded first, the chunks
        are empty, so that the caller can let others run in between. Raises EOFError as `Spool.chunks` does."""
        b64, at = self.b64, 0
        if self.is_plain and isinstance(b64, LongString):
            group, end = wanted.start // 3, min(-(-wanted.stop // 3) * 4, b64.length)
            b64, at = replace(b64, offset=b64.offset + group * 4, length=end - group * 4), group * 3
        for chunk in decoded(b64, self.spool):
            if at >= wanted.stop:
                return
            yield chunk[max(wanted.start - at, 0) : wanted.stop - at]
            at += len(chunk)


def measure(b64: str | LongString, spool: Spool) -> EncodedPicture:
    """Count the digits of a picture, without decoding them. Reads the whole string: call it in a thread. Raises EOFError as
    `Spool.chunks` does."""
    digits = sum(len(piece.translate(None, _NO_DIGITS)) for piece in _text(b64, spool))
    is_plain = isinstance(b64, LongString) and digits == b64.length - len(b64.tail) + len(b64.tail.rstrip(b"="))
    return EncodedPicture(b64, spool, digits * 6 // 8, is_plain)


def _text(b64: str | LongString, spool: Spool) -> Iterator[bytes]:
    """Yield the string without JSON's escapes. An escape may be cut by the end of a chunk."""
    if isinstance(b64, str):
        yield b64.encode(errors="replace")
        return
    if not b64.escaped:
        yield from spool.chunks(b64.piece)
        return
    carried = b""
    for chunk in spool.chunks(b64.piece):
        text = carried + chunk
        cut = text.rfind(b"\\", -_ESCAPE_BYTES_MAX + 1)
        cut = len(text) if cut == -1 else cut
        carried = text[cut:]
        yield unescaped(text[:cut])
    yield unescaped(carried)
