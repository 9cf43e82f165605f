"""Languages of the console: English, which the code is written in, and Chinese, from `locales`.

`zh.po` has the texts of the console, `zh-errors.po` the messages of errors that other packages raise. Those are found by their form
when a page shows them, because the book and the log of refusals hold messages that are filled in already.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from markupsafe import Markup, escape

from app.control.findings import chinese_findings
from app.core.translations import Translations

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
LOCALES = Path(__file__).with_name("locales")
CATALOG, ERRORS = LOCALES / "zh.po", LOCALES / "zh-errors.po"


def marked(text: str) -> str:
    """Return a text that a template translates later. Modules import this function as `_`, which the catalog's check looks for."""
    return text


def preferred_language(accepted: str) -> Language:
    """Return the language to begin with, from an Accept-Language header: the first of ours that it names."""
    for part in accepted.lower().split(","):
        for language in LANGUAGES:
            if part.strip().startswith(language):
                return language
    return "en"


def translate(language: Language, text: str, **values: object) -> Markup:
    """Return a text in a language, as HTML, with `values` in place of its {names}. Values are escaped."""
    found = text if language == "en" else catalog().get(text) or error_texts().translate(text)
    return Markup(escape(found)).format(**values) if values else Markup(escape(found))


def translate_finding(language: Language, text: str) -> str:
    """Return the name or the message of a finding of the doctor in a language."""
    return text if language == "en" else _finding_texts().translate(text)


@cache
def catalog() -> dict[str, str]:
    """Read the Chinese texts of the console by their English."""
    return read_texts(CATALOG)


@cache
def error_texts() -> Translations:
    """Read the Chinese messages of errors."""
    return Translations(read_texts(ERRORS))


@cache
def _finding_texts() -> Translations:
    """Make the table of findings. Some have the message of an error."""
    return Translations({**error_texts().table, **chinese_findings()})


def read_texts(file: Path) -> dict[str, str]:
    """Read entries of `msgid` and `msgstr`, without plurals and contexts."""
    texts: dict[str, str] = {}
    entry = {"msgid": "", "msgstr": ""}
    field = "msgid"
    for line in [*file.read_text(encoding="utf-8").splitlines(), 'msgid ""']:
        name, _, rest = line.partition(" ")
        if name in entry:
            if name == "msgid":
                texts[entry["msgid"]] = entry["msgstr"]
                entry = {"msgid": "", "msgstr": ""}
            field, line = name, rest
        if line.startswith('"'):
            entry[field] += ast.literal_eval(line)
    texts.pop("", None)  # The head of the file.
    return texts
