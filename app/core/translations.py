"""Translation of sentences by their form, so that what an f-string made is found whatever it was filled with."""

import re
from collections.abc import Mapping
from functools import cache, cached_property

_PLACEHOLDER = re.compile(r"{(\w+)}")
CHARS_MAX = 4000
"""Longest text that is compared with the forms."""


class Translations:
    """Table of sentences and their translations, with equal {names} for what they are filled with.

    What a name stands for is translated, too, when it has several words or its name begins with `word`: names of users and models
    are one word and stay.
    """

    def __init__(self, table: Mapping[str, str]):
        self.table = table

    def translate(self, text: str) -> str:
        """Translate a text; one that the table does not have comes back unchanged."""
        if (found := self.find(text)) is None:
            return text
        english, values = found
        if not values:
            return self.table[english]
        return self.table[english].format(**{name: self._value(name, value) for name, value in values.items()})

    def find(self, text: str) -> tuple[str, dict[str, str]] | None:
        """Return the sentence of the table that a text was made of, and what it is filled with; None where there is none."""
        if text in self.table:
            return text, {}
        for english, start in self._forms if len(text) <= CHARS_MAX else ():
            if text.startswith(start) and (match := _pattern(english).fullmatch(text)):
                return english, match.groupdict()
        return None

    def _value(self, name: str, value: str) -> str:
        return self.translate(value) if " " in value or name.startswith("word") else value

    @cached_property
    def _forms(self) -> list[tuple[str, str]]:
        """Sentences with placeholders and the text before their first one, most literal text first."""
        filled = [(english, _PLACEHOLDER.split(english)[::2]) for english in self.table if _PLACEHOLDER.search(english)]
        filled.sort(key=lambda each: -sum(map(len, each[1])))
        return [(english, literals[0]) for english, literals in filled]


@cache
def _pattern(english: str) -> re.Pattern[str]:
    parts, seen = _PLACEHOLDER.split(english), set[str]()
    pattern = ""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            pattern += re.escape(part)
        elif part in seen:  # Filled with the same.
            pattern += f"(?P={part})"
        else:
            seen.add(part)
            pattern += f"(?P<{part}>.*?)"
    return re.compile(pattern, re.DOTALL)
