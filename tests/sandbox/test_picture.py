"""The pictures: size, words, and that they are the same each time."""

import io

import pytest
from PIL import Image

from app.sandbox.picture import Card, draw, pixel_size, shown_words


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
    picture = Image.open(io.BytesIO(draw(Card(prompt, "gpt-image-1", size))))

    assert max(picture.size) == 512


def test_pictures_differ_by_prompt_and_index_and_are_repeatable() -> None:
    cards = [Card("fox", "imagen4", ""), Card("owl", "imagen4", ""), Card("fox", "imagen4", "", index=1, of=2)]

    assert len({draw(card) for card in cards}) == 3
    first = draw(cards[0])
    draw.cache_clear()
    assert draw(cards[0]) == first


def test_long_prompts_are_cut_with_an_ellipsis() -> None:
    assert shown_words("one two") == ["one", "two"]
    assert shown_words("a " * 60)[-1] == "..."
    assert shown_words(" ") == ["Untitled"]
