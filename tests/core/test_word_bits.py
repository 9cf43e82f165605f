"""Bits of words: whatever a database finds in a text has its bits there."""

from hypothesis import example, given
from hypothesis import strategies as st

from app.core.word_bits import BITS, NUMBERS, word_bits

LETTERS = "abcXYZ09 -%_äÄßİK猫灯塔，。é"


def has_all(text: str, word: str) -> bool:
    return all(have & wanted == wanted for have, wanted in zip(word_bits(text), word_bits(word), strict=True))


@given(
    st.text(LETTERS), st.text(LETTERS, min_size=1, max_size=8).filter(lambda word: " " not in word), st.text(LETTERS)
)
@example("a ", "Cat", "s")
@example("一只", "灯塔", "下的猫")
def test_a_text_with_a_word_has_the_bits_of_the_word_in_either_case(before: str, word: str, after: str) -> None:
    folded = "".join(char.swapcase() if char.isascii() else char for char in word)

    assert has_all(before + word + after, word)
    assert has_all(before + folded + after, word)


def test_most_words_that_are_not_there_are_told_apart() -> None:
    text = "A red lighthouse at dusk, with two boats and a dog on the beach. " * 3 + "黄昏的灯塔"

    assert not any(has_all(text, word) for word in ("zeppelin", "harbour", "cat", "猫咪", "灯笼"))
    assert all(has_all(text, word) for word in ("LIGHT", "dusk,", "ea", "灯塔", "塔", "x1"[:1]))


def test_the_numbers_fit_a_signed_column() -> None:
    assert max(word_bits("".join(map(chr, range(33, 2000))) * 3)) < 2**BITS
    assert len(word_bits("")) == NUMBERS and word_bits("") == (0,) * NUMBERS
