"""Spellings of size and quality: each is folded to one form before it is priced and sent."""

import re
import unicodedata

_SIDES = re.compile(r"(\d{1,6})\s*[x*×✕✖⨯х]\s*(\d{1,6})")
_RESOLUTION = re.compile(r"\d+(?:\.\d+)?k")


def folded_choice(value: str) -> str:
    """Return a size or quality in its one spelling: `2048x2048` for `2048 × 2048`, `high` for `HIGH`, `2K` for `2k`.

    Full-width characters become plain ones and spaces go, because relays that compare leniently would draw the dearer picture.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", value).casefold())
    text = text.strip()
    if sides := _SIDES.fullmatch(text):
        return f"{int(sides[1])}x{int(sides[2])}"
    return text.upper() if _RESOLUTION.fullmatch(text) else text
