"""Names whose letters of different alphabets look alike."""

import pytest

from app.core.scripts import mixed_scripts


@pytest.mark.parametrize(
    ("name", "alphabets", "letter"),
    [
        ("l\u0456n", "Latin and Cyrillic", "U+0456"),
        ("\u0440aypal", "Latin and Cyrillic", "U+0440"),
        ("team \u0391lpha", "Latin and Greek", "U+0391"),
        ("\u0441\u043e\u0441o", "Latin and Cyrillic", "U+006F"),
        ("\u043f\u03bf", "Cyrillic and Greek", "U+03BF"),
        ("g\u0585\u0585gle", "Latin and Armenian", "U+0585"),
    ],
)
def test_a_word_of_two_alphabets_is_named_with_the_letter_that_stands_out(
    name: str, alphabets: str, letter: str
) -> None:
    warning = mixed_scripts(name)

    assert warning is not None and alphabets in warning and letter in warning


@pytest.mark.parametrize(
    "name",
    ["", "lin", "林Lin", "Müller-2", "Анна", "Анна Smith", "Αθήνα_web", "カタカナabc", "a1\u0431", "café ☕", "x²"],
)
def test_a_name_of_one_alphabet_in_each_word_is_well(name: str) -> None:
    assert mixed_scripts(name) is None
