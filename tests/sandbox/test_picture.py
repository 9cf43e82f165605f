"""The pictures: size, words, and that they are the same each time."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from app.sandbox import fonts
from app.sandbox.fonts import typeface_for
from app.sandbox.picture import PlaceholderContent, badge_text, draw, pixel_size, shown_words, wrap_words


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ("1024x1024", (512, 512)),
        ("1024x1536", (341, 512)),
        ("1664x936", (512, 288)),
        ("16:9", (512, 288)),
        ("64x4096", (64, 512)),
        ("auto", (512, 512)),
        ("", (512, 512)),
        ("0x0", (512, 512)),
        ("wide", (512, 512)),
    ],
)
def test_the_aspect_is_kept_and_the_longer_side_is_512(size: str, pixels: tuple[int, int]) -> None:
    assert pixel_size(size) == pixels


@pytest.mark.parametrize(
    "prompt", ["", "一只可爱的猫" * 50, "\x00\x1b[31m\u202e e\u0301" * 400, "\ud800", "W" * 500, "word " * 5000, "🦊"]
)
@pytest.mark.parametrize("size", ["1024x1024", "8x4096", "4096x8"])
def test_any_prompt_can_be_drawn_at_any_size(prompt: str, size: str) -> None:
    picture = Image.open(io.BytesIO(draw(PlaceholderContent(prompt, "gpt-image-1", size))))

    assert max(picture.size) == 512


def test_pictures_differ_by_prompt_and_index_and_are_repeatable() -> None:
    cards = [
        PlaceholderContent("fox", "imagen4", ""),
        PlaceholderContent("owl", "imagen4", ""),
        PlaceholderContent("fox", "imagen4", "", index=1, of=2),
    ]

    assert len({draw(card) for card in cards}) == 3
    first = draw(cards[0])
    draw.cache_clear()
    assert draw(cards[0]) == first


def test_long_prompts_are_cut_with_an_ellipsis() -> None:
    assert shown_words("one two") == ["one", "two"]
    assert shown_words("a " * 60)[-1] == "..."
    assert shown_words(" ") == ["Untitled"]


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose only Chinese font is what a test puts into `fonts.FILES`."""
    monkeypatch.setattr(fonts, "PACKAGE", "no_such_package")
    monkeypatch.setattr(fonts, "FILES", ())
    fonts.others.cache_clear()
    yield
    fonts.others.cache_clear()


def test_chinese_is_drawn_and_latin_keeps_its_own_font() -> None:
    assert typeface_for("黄昏的灯塔，水彩 watercolour").missing("黄昏的灯塔，水彩 watercolour") == 0
    assert badge_text(PlaceholderContent("黄昏的灯塔", "gpt-image-1", "", operation="edit")) == "sandbox edit"
    assert typeface_for("A lighthouse").path is None


def test_without_the_package_a_font_of_the_system_is_taken(no_package: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from pylopdf_fonts_zh_cn import serif_path

    monkeypatch.setattr(fonts, "FILES", ("no-such-font.ttc", str(serif_path())))

    assert typeface_for("黄昏").path == str(serif_path())


def test_boxes_are_drawn_only_where_no_font_has_the_text_and_the_picture_says_so(no_package: None) -> None:
    card = PlaceholderContent("黄昏的灯塔", "gpt-image-1", "")

    assert badge_text(card) == "sandbox: no font for this text"
    assert Image.open(io.BytesIO(draw(card))).size == (512, 512)


def test_no_line_of_chinese_begins_with_closing_punctuation() -> None:
    font = typeface_for("黄").at(20)

    assert wrap_words(["黄昏的灯，水彩"], font, round(font.getlength("黄昏的灯"))) == ["黄昏的", "灯，水彩"]
