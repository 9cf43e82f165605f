"""Incremental decoder of compressed answers, for relays that compress although the request accepts only identity.

aiohttp's own decoding is off: it decodes its whole read buffer at once, up to 16 MiB, which would block the event loop.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp.compression_utils import BrotliDecompressor, DecompressionBaseHandler, ZLibDecompressor, ZSTDDecompressor

PIECE_BYTES: Final = 256 * 1024
"""Most bytes that are decoded at once."""
_DEFLATE_WITH_HEADER: Final = 8
_GZIP_FIRST: Final = b"\x1f"
_ZSTD_FIRST: Final = b"\x28"


class NotDecodable(Exception):
    """Body that its Content-Encoding does not match."""


async def decoded(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Decode `chunks` by the Content-Encoding `encoding`, at most PIECE_BYTES at a time. Raises NotDecodable.

    Supports gzip, deflate (with and without its header), br and zstd; a body in any other encoding passes unchanged, and so does
    one that only claims to be gzip or zstd: the label of a paid answer may lie.
    """
    decoder: DecompressionBaseHandler | None = None
    async for chunk in chunks:
        decoder = decoder or _decoder(encoding, chunk)
        if decoder is None:
            yield chunk
            continue
        piece = _decode(decoder, chunk)
        while piece or decoder.data_available:
            yield piece
            await asyncio.sleep(0)  # A small chunk can expand to a gigabyte: let other tasks run.
            piece = _decode(decoder, b"")


def _decoder(encoding: str, first: bytes) -> DecompressionBaseHandler | None:
    match encoding.strip().lower():
        case "gzip" | "x-gzip" | "zstd" if first[:1] not in (_GZIP_FIRST, _ZSTD_FIRST):
            return None
        case "gzip" | "x-gzip":
            return ZLibDecompressor(encoding="gzip")
        case "deflate":
            return ZLibDecompressor("deflate", suppress_deflate_header=first[0] & 0xF != _DEFLATE_WITH_HEADER)
        case "br":
            return BrotliDecompressor()
        case "zstd":
            return ZSTDDecompressor()
        case _:
            return None


def _decode(decoder: DecompressionBaseHandler, data: bytes) -> bytes:
    try:
        return decoder.decompress_sync(data, PIECE_BYTES)
    except Exception as exc:  # Each library raises errors of its own.
        raise NotDecodable(type(exc).__name__) from exc
