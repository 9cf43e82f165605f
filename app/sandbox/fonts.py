"""Fonts of the sandbox's pictures: Pillow's own for Latin letters, another one for texts that it cannot draw, such as Chinese."""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PACKAGE = "pylopdf_fonts_zh_cn"
"""Noto Sans SC, from the extra `sandbox`."""
FILES = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "msyh.ttc",
    "simhei.ttf",
)
"""Chinese fonts of Linux, macOS and Windows. Pillow searches the system's font folders for them."""


@dataclass(frozen=True, slots=True)
class Typeface:
    """Font in any size. Without `path` it is Pillow's own."""

    path: str | None = None

    def at(self, text_px: int) -> Font:
        return ImageFont.load_default(text_px) if self.path is None else ImageFont.truetype(self.path, text_px)

    def missing(self, text: str) -> int:
        """Count the different characters of `text` that the font would draw as boxes."""
        font = self.at(16)
        box = bytes(font.getmask("\U0010ffff"))  # No font has this one.
        return sum(bytes(font.getmask(sign)) == box for sign in set(text) if sign.isprintable() and not sign.isspace())


def typeface_for(text: str) -> Typeface:
    """Return the first typeface that has all characters of `text`, otherwise the one that misses the fewest."""
    own = Typeface()
    if text.isascii() or not own.missing(text):
        return own
    return min((*others(), own), key=lambda typeface: typeface.missing(text))


@functools.cache
def others() -> tuple[Typeface, ...]:
    """Find the font of the package, and otherwise the first one of the system."""
    for path in _paths():
        try:
            return (Typeface(str(ImageFont.truetype(path, 16).path)),)
        except OSError:
            continue
    return ()


def _paths() -> Iterator[str]:
    with contextlib.suppress(ImportError):
        yield str(importlib.import_module(PACKAGE).sans_path())
    yield from FILES
