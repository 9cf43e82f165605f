"""Messages of errors on Chinese pages: each that the code makes has its twin, which says all that it was filled with."""

import re
from pathlib import Path

import pytest

import app
from app.console.language import error_texts, translate
from app.core.limits import Limit
from tests.console.error_texts import Module

FOLDER = Path(app.__file__).parent
PACKAGES = ("blobs", "console", "control", "core", "images", "pictures", "store", "upstream")
FILES = (FOLDER / "api" / "guard.py", FOLDER / "api" / "body.py")
WORDLESS = re.compile(r"(<\d+>|\W)*|[\w.]+(<\d+>)?")
"""Text of one word, or of nothing but what it is filled with."""
ONLY_PARTS = {"Line {line}: {problem}."}
"""Sentences that stand in others, where the code does not show it."""
PART = re.compile(r"(is no name|must be) .*[^.]|.*\.\.|(.*<0> .*<0>.*)", re.DOTALL)
"""Texts that no error has: a part of one, or parts that stand in different branches."""


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Messages, and where each is made."""
    files = [*FILES, *(file for package in PACKAGES for file in sorted((FOLDER / package).rglob("*.py")))]
    found = {text: f"{file.relative_to(FOLDER)}:{line}" for file in files for line, text in Module(file).texts()}
    return {text: place for text, place in found.items() if not WORDLESS.fullmatch(text) and not PART.fullmatch(text)}


def used_by(text: str) -> set[str]:
    """Sentences of the file that a message is translated by."""
    found = error_texts().find(text)
    return set() if found is None else {found[0]}.union(*(used_by(value) for value in found[1].values()))


def test_every_error_has_its_twin(texts: dict[str, str]) -> None:
    bare = [f"{at} {text}" for text, at in texts.items() if not re.search("[\u4e00-\u9fff]", translate("zh", text))]

    assert bare == [], "add them to app/console/locales/zh-errors.toml"


def test_a_twin_says_all_that_an_error_is_filled_with(texts: dict[str, str]) -> None:
    for text in texts:
        told = translate("zh", text).unescape()
        assert set(re.findall(r"<\d+>", text)) == set(re.findall(r"<\d+>", told)), text
    for english, chinese in error_texts().table.items():
        assert set(re.findall(r"{\w+}", english)) == set(re.findall(r"{\w+}", chinese)), english


def test_no_twin_is_left_over(texts: dict[str, str]) -> None:
    used = {english for text in texts for english in used_by(text)}
    sentences = {english for english in error_texts().table if english.endswith(".")} - ONLY_PARTS

    assert sentences - used == set(), "remove them from app/console/locales/zh-errors.toml"


def test_a_message_is_told_with_its_limit_and_values() -> None:
    limit = Limit(1, "user", "user-1", "lin <b>", "gpt-image-1", "images", "day", 3)
    message = (
        f"The {limit.label} has 1 image left of 3 images (resets 2026-12-01T00:00:00+08:00); this request may need 2 images. "
        "Your administrator can raise the limit."
    )

    assert translate("zh", message).unescape() == (
        "人员 lin <b>（gpt-image-1）的每日图片限额：剩余 1 张，共 3 张（2026-12-01T00:00:00+08:00 重置）；此请求最多需要 2 张。"
        "管理员可以提高限额。"
    )
    assert "&lt;b&gt;" in translate("zh", message)
    assert translate("zh", "The relay's own words about a fox.") == "The relay&#39;s own words about a fox."
