"""Texts of the console in two languages: each has its twin with the same placeholders, and none stands outside."""

import re
from pathlib import Path

from babel.messages.extract import extract_from_file

import app.console
from app.console.language import catalog, preferred_language, translate

FOLDER = Path(app.console.__file__).parent
TEMPLATES = sorted(FOLDER.glob("templates/*.html"))
NO_TEXT = {"English", "Open WebUI", "中文", "EN", "CSV", "curl", "Python", "Node", ".env", "KiB", "ZIP", "C2PA"}


def texts() -> set[str]:
    """Find what is given to `_` in templates and modules."""
    found = set()
    for file, method in [
        *((file, "jinja2.ext:babel_extract") for file in TEMPLATES),
        *((file, "python") for file in FOLDER.rglob("*.py")),
    ]:
        found |= {str(message) for _, message, _, _ in extract_from_file(method, file, keywords={"_": None})}
    return found


def test_every_text_has_its_twin_and_no_twin_is_left_over() -> None:
    wanted, there = texts(), set(catalog())

    assert wanted - there == set(), "add them to app/console/locales/zh.toml"
    assert there - wanted == set(), "remove them from app/console/locales/zh.toml"


def test_twins_have_the_same_placeholders_and_are_chinese() -> None:
    for english, chinese in catalog().items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese)), english
        assert re.search("[\u4e00-\u9fff]", chinese) or not re.sub(r"{\w+}|\W", "", chinese), english


def test_no_text_stands_outside() -> None:
    for file in TEMPLATES:
        plain = re.sub(r"{#.*?#}|<pre.*?</pre>", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        plain = re.sub(r"{%.*?%}|{{.*?}}", "\0", plain, flags=re.DOTALL)
        labels = re.findall(r'(?:title|placeholder|aria-label|alt)="([^"]*)"', plain)
        between = re.sub(r"<[^>]*>", "\n", plain).split("\n")
        said = {
            part.strip() for text in (*labels, *between) for part in text.split("\0") if re.search("[A-Za-z]{2}", part)
        }
        assert said <= NO_TEXT, file.name


def test_values_are_escaped_and_the_browser_chooses() -> None:
    assert translate("en", "Welcome, {name}", name="<b>") == "Welcome, &lt;b&gt;"
    assert translate("zh", "Welcome, {name}", name="<b>") == "欢迎，&lt;b&gt;"
    assert [preferred_language(text) for text in ("zh-TW,en;q=0.8", "de,en-GB;q=0.8,zh", "fr", "")] == [
        "zh",
        "en",
        "en",
        "en",
    ]
