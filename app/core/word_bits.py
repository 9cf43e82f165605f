"""Bits of the groups of letters in a text, so that a search for words reads few texts: a Bloom filter of its trigrams.

A text that contains a word has all bits of the word; one that has them may still not contain it, so it is read then.
"""

from collections.abc import Iterator
from zlib import crc32

NUMBERS = 8
"""Numbers that the bits stand in."""
BITS = 63
"""Bits of each; a signed 64-bit column holds them."""
SEARCHED_CHARS = 2_000
"""Characters at the beginning of a prompt that are searched for words."""


def word_bits(text: str) -> tuple[int, ...]:
    """Return the bits of a text, or those that a text with this word has; all 0 for a word that is too short to tell."""
    numbers = [0] * NUMBERS
    for group in set(_groups(_letters(text))):
        place = crc32(group.encode())
        numbers[place % NUMBERS] |= 1 << (place // NUMBERS % BITS)
    return tuple(numbers)


def _letters(text: str) -> str:
    """Replace all that databases may compare in different ways by spaces: letters outside ASCII that have two cases, and signs."""
    if text.isascii():
        return "".join(char if char.isalnum() else " " for char in text.lower())
    return "".join(
        char if _is_letter(char) else " " for char in (each.lower() if each.isascii() else each for each in text)
    )


def _is_letter(char: str) -> bool:
    return char.isalnum() if char.isascii() else char.lower() == char.upper()


def _groups(letters: str) -> Iterator[str]:
    """Yield each three letters in a row, and each two where they are no ASCII: many Chinese words have two."""
    yield from (group for at in range(len(letters) - 2) if " " not in (group := letters[at : at + 3]))
    if not letters.isascii():
        pairs = (letters[at : at + 2] for at in range(len(letters) - 1))
        yield from (pair for pair in pairs if " " not in pair and not pair.isascii())
