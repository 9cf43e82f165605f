"""Scripts of letters: names whose letters of different alphabets look alike."""

import re
import unicodedata

_ALPHABETS = ("Latin", "Cyrillic", "Greek", "Armenian", "Cherokee")
"""Alphabets with letters that look like each other's. Chinese, Japanese and Korean beside Latin are no disguise."""
_WORD = re.compile(r"[^\W\d_]+")


def mixed_scripts(name: str) -> str | None:
    """Return a warning for a name with letters of several alphabets in one word, such as a Cyrillic `a` among Latin letters; None
    for any other. It names the letter that stands out, so that people can tell two names apart that look the same."""
    for word in _WORD.findall(name):
        found = {letter: alphabet for letter in word if (alphabet := _alphabet(letter)) is not None}
        kinds = sorted(set(found.values()), key=_ALPHABETS.index)
        if len(kinds) > 1:
            odd = next(letter for letter, alphabet in found.items() if alphabet == _rarest(found, kinds))
            about = f"U+{ord(odd):04X} {unicodedata.name(odd)}"
            return f"The word {word!r} in the name mixes {' and '.join(kinds)} letters ({about}): it may look like another name."
    return None


def _rarest(found: dict[str, str], kinds: list[str]) -> str:
    """Return the alphabet with the fewest letters; of equals the one that is least expected."""
    return min(reversed(kinds), key=list(found.values()).count)


def _alphabet(letter: str) -> str | None:
    name = unicodedata.name(letter, "")
    return next((alphabet for alphabet in _ALPHABETS if name.startswith(f"{alphabet.upper()} ")), None)
