import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.strict_json import TOKENS_MAX, loads
from app.errors import BadRequest, DuplicateKey, InvalidJson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_is_json_reads_as_the_standard_parser_reads_it(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)

    assert loads(text.encode()) == value
    assert loads(b"\xef\xbb\xbf" + text.encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \r\n",
        b"\xef\xbb\xbf",
        b"{",
        b'{"a": 1,}',
        b"[1,]",
        b'{"a": 1} x',
        b"{}{}",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b'{"a": -1e400}',
        b'{"a": 01}',
        b'{"a": "\t"}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"a": [{"b": "\\ud83d x"}]}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": ' + b"9" * 5_000 + b"}",
        b'"' + b"a" * 100,
        b'"abc\\',
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b"[" * 1_000_000,
        b'[{"a":' * 200_000,
        b"[" + b"[]," * TOKENS_MAX + b"[]]",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        loads(body)


def test_32_levels_are_read_and_brackets_in_strings_do_not_count() -> None:
    assert loads(b"[" * 32 + b"]" * 32) is not None
    assert loads(json.dumps({"prompt": "[" * 30_000 + '\\"{' * 100}).encode())["prompt"].startswith("[[")


def test_a_body_of_nothing_but_quotes_is_scanned_once() -> None:
    with pytest.raises(InvalidJson):  # To scan it again from each quote would take days.
        loads(b'"' + b'\\"' * 5_000_000)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"n": 1, "n": 10}', "n"),
        (b'{"model": "a", "prompt": "b", "model": "c"}', "model"),
        (b'{"a": [{"b": {"c": 1, "c": 1}}]}', "c"),
        (b'{"n": 1, "\\u006e": 2}', "n"),
    ],
)
def test_a_key_that_comes_twice_is_refused_at_any_level(body: bytes, param: str) -> None:
    with pytest.raises(DuplicateKey) as refused:
        loads(body)

    assert refused.value.param == param


def test_the_field_with_half_a_character_is_named() -> None:
    with pytest.raises(InvalidJson) as refused:
        loads(b'{"n": 1, "prompt": "\\ud800"}')

    assert refused.value.param == "prompt"
    assert loads(b'"\\ud83d\\ude00"') == "😀"


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_anything_but_a_value_or_a_400(body: bytes) -> None:
    try:
        loads(body)
    except BadRequest as refused:
        assert refused.status == 400
