"""Language of the words for people: English, or Chinese where the locale is Chinese.

English is written where it is said, and `chinese.toml` holds its translations; those of doctor are beside its findings in
`control/findings.toml`, and those of errors are the console's. Texts are translated when they are printed, not when they are made,
so the same error stays English in JSON, in logs and in the API. What an f-string made is recognised by its form.
"""

import functools
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from app.core.translations import Translations

_WIDE = "\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60"
# A line may break around each wide character, but not before closing punctuation and not after opening brackets.
_UNBREAKABLE = re.compile(rf"\s+|[（《“]*(?:[{_WIDE}]|[^\s{_WIDE}]+)[，。、；：？！）》”]*")


def translate(text: str) -> str:
    """Return `text` in the language of the locale. A text that the table does not have comes back unchanged."""
    if not is_chinese():
        return text
    return table().get(text) or _translations().translate(text)


def is_chinese() -> bool:
    """Return whether the locale is Chinese and the terminal can show it. LANGUAGE counts unless the locale is C, as in gettext."""
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, names), "")
    if locale.partition(".")[0] not in ("C", "POSIX"):
        locale = os.environ.get("LANGUAGE") or locale
    return locale.lower().startswith("zh") and _can_show("中文", sys.stdout) and _can_show("中文", sys.stderr)


def display_width(text: str) -> int:
    """Return the columns that `text` takes in a terminal, where a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else not unicodedata.combining(char) for char in text)


def wrap(text: str, width: int) -> list[str]:
    """Break `text` into lines of at most `width` columns."""
    lines = [""]
    for piece in _UNBREAKABLE.findall(text):
        if display_width((lines[-1] + piece).rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] = (lines[-1] + piece).lstrip()
    return [line.rstrip() for line in lines]


@functools.cache
def table() -> Mapping[str, str]:
    """Load the translations, from English to Chinese, without those of errors. Names in braces stand for what the text is filled
    with."""
    import tomllib

    from app.control.findings import chinese_findings

    with (Path(__file__).parent / "chinese.toml").open("rb") as file:
        return {**chinese_findings(), **tomllib.load(file)}


@functools.cache
def _translations() -> Translations:
    """Load all translations. A text that both tables have is translated as the table of errors does."""
    from app.console.language import error_texts

    return Translations({**table(), **error_texts().table})


def _can_show(text: str, stream: object) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
