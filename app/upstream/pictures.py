"""Decoder of a picture in an answer of the relay: its base64 is read from the spool and decoded in pieces."""

import binascii
from collections.abc import Iterator
from typing import Final

from app.spool import Spool
from app.upstream.images import unescaped
from app.upstream.skeleton import LongString

_DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NO_DIGITS: Final = bytes(byte for byte in range(256) if byte not in _DIGITS)
_PADDING: Final = (b"", b"===", b"==", b"=")
"""Padding by the number of digits in the last group; a single digit holds no byte and is dropped."""
_ESCAPE_BYTES_MAX: Final = 6


def decoded(b64: str | LongString, spool: Spool) -> Iterator[bytes]:
    r"""Yield the bytes of a picture. The string lies in `spool` when it is long.

    Padding, line breaks and other bytes that are no digits are skipped, because relays escape and wrap base64. Raises EOFError
    as `Spool.chunks` does.
    """
    digits = b""
    for piece in _text(b64, spool):
        digits += piece.translate(None, _NO_DIGITS)
        whole = len(digits) // 4 * 4
        yield binascii.a2b_base64(digits[:whole])
        digits = digits[whole:]
    if len(digits) > 1:
        yield binascii.a2b_base64(digits + _PADDING[len(digits)])


def decoded_bytes(b64: str | LongString, spool: Spool) -> int:
    """Return the length of a picture, in bytes, from the number of its digits and without decoding them. Raises EOFError as
    `Spool.chunks` does."""
    digits = sum(len(piece.translate(None, _NO_DIGITS)) for piece in _text(b64, spool))
    return digits * 6 // 8


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
