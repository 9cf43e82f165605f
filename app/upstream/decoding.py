"""Decodes the body of an answer that came encoded although identity was asked for, a bounded piece at a time.

aiohttp decodes by itself, too, but as much at once as its read buffer holds: 16 MiB, for which the event loop would stand still.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from aiohttp.compression_utils import BrotliDecompressor, DecompressionBaseHandler, ZLibDecompressor, ZSTDDecompressor

PIECE_BYTES: Final = 256 * 1024
"""The most that is decoded at once."""
_DEFLATE_WITH_HEADER: Final = 8


class NotDecodable(Exception):
    """The body is not what its Content-Encoding says."""


async def decoded(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Decode `chunks` by the Content-Encoding `encoding`, at most PIECE_BYTES at a time. Raises NotDecodable.

    Knows gzip, deflate (with and without its header), br and zstd; a body in any other encoding passes as it is.
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
            await asyncio.sleep(0)  # A small chunk can hold a gigabyte; others get their turn.
            piece = _decode(decoder, b"")


def _decoder(encoding: str, first: bytes) -> DecompressionBaseHandler | None:
    match encoding.strip().lower():
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
    except Exception as exc:  # Each library has an error of its own.
        raise NotDecodable(type(exc).__name__) from exc
