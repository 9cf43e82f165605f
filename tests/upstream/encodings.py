"""Bodies encoded as relays, and what stands before them, may encode them."""

import gzip
import sys
import zlib
from collections.abc import Callable
from typing import Final

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_BLOCK: Final = bytes(1024 * 1024)
BOMB_BYTES: Final = 1024 * len(_BLOCK)


def _raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def _brotli(data: bytes) -> bytes:
    return bytes(brotli.compress(data, quality=1))


ENCODERS: Final[dict[str, tuple[str, Callable[[bytes], bytes]]]] = {
    "gzip": ("gzip", gzip.compress),
    "gzip by its old name": ("X-GZip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("deflate", _raw_deflate),
    "br": ("br", _brotli),
    "zstd": ("zstd", zstd.compress),
}
"""By name: the Content-Encoding and the function that encodes."""


def bomb(encoding: str) -> bytes:
    """BOMB_BYTES zeros. The checksums at the end of gzip and deflate are wrong: nothing should come that far."""
    if encoding == "br":
        compressor = brotli.Compressor(quality=1)
        return b"".join(compressor.process(_BLOCK) for _ in range(1024)) + bytes(compressor.finish())
    if encoding == "zstd":
        frames = zstd.ZstdCompressor()
        return b"".join(frames.compress(_BLOCK) for _ in range(1024)) + frames.flush()
    deflate = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    first = deflate.compress(_BLOCK) + deflate.flush(zlib.Z_FULL_FLUSH)
    again = deflate.compress(_BLOCK) + deflate.flush(zlib.Z_FULL_FLUSH)  # The same bytes every time from here on.
    return first + again * 1023 + deflate.flush()
