"""Languages of the console: English, which the code is written in, and Chinese, from `locales`.

`zh.toml` has the texts of the console, `zh-errors.toml` the messages of errors that other packages raise. Those are found by their
form when a page shows them, because the book and the log of refusals hold messages that are filled in already.
"""

from functools import cache
from pathlib import Path
from typing import Literal, get_args

from markupsafe import Markup, escape

from app.control.findings import chinese_findings
from app.core.translations import Translations

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
LOCALES = Path(__file__).with_name("locales")


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
    return _texts("zh.toml")


@cache
def error_texts() -> Translations:
    """Read the Chinese messages of errors."""
    return Translations(_texts("zh-errors.toml"))


@cache
def _finding_texts() -> Translations:
    """Make the table of findings. Some have the message of an error."""
    return Translations({**error_texts().table, **chinese_findings()})


def _texts(file: str) -> dict[str, str]:
    import tomllib

    return tomllib.loads((LOCALES / file).read_text(encoding="utf-8"))
