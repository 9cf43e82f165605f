"""Spellings of size and quality: each is folded to one form before it is priced and sent."""

import re
from functools import lru_cache

from app.core.field_names import folded

_SIDES = re.compile(r"(\d{1,6})\s*[x*×✕✖⨯х]\s*(\d{1,6})")
_RESOLUTION = re.compile(r"\d+(?:\.\d+)?k")


@lru_cache(maxsize=256)
def folded_choice(value: str) -> str:
    """Return a size or quality in its one spelling: `2048x2048` for `2048 × 2048`, `high` for `HIGH`, `2K` for `2k`.

    Full-width characters become plain ones and spaces go, because relays that compare leniently would draw the dearer picture.
    """
    text = folded(value).strip()
    if sides := _SIDES.fullmatch(text):
        return f"{int(sides[1])}x{int(sides[2])}"
    return text.upper() if _RESOLUTION.fullmatch(text) else text


def pixels_of(size: str) -> int | None:
    """Return the number of pixels of a size like `1024x1024`; None for one without pixels, like `2K`, `16:9` or `0x0`."""
    sides = _SIDES.fullmatch(size)
    return int(sides[1]) * int(sides[2]) or None if sides else None
