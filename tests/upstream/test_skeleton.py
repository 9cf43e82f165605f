import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstream.skeleton import LongString, MalformedAnswer, Skeleton, encode
from tests.upstream.given import skeleton_of_bytes, spliced

TRICKY = st.sampled_from(['"', "\\", "/", "猫", "\U0001f408", "\n", "\x00", "+", "=", "a", "\ud800"])
LONG = st.builds(
    lambda core, fill, times: core + fill * times, st.text(TRICKY, max_size=40), TRICKY, st.integers(900, 1300)
)
TEXTS = st.text(max_size=30) | LONG
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENTS, st.booleans(), st.lists(st.integers(0, 20_000), max_size=12))
def test_any_document_cut_anywhere_comes_back_as_it_was(document: Any, ascii_only: bool, cuts: list[int]) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only).encode(errors="replace")
    skeleton = Skeleton()

    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(raw)], strict=True):
        skeleton.feed(raw[start:end])
    body = spliced(encode(skeleton.document()), raw)

    assert json.loads(body) == json.loads(raw)


@given(st.text(TRICKY, min_size=1, max_size=12), st.integers(0, 2000))
def test_an_escape_cut_at_every_byte_does_not_end_a_string(core: str, padding: int) -> None:
    raw = json.dumps({"a": "x" * padding + core, "b": 'a"b'}).encode()
    skeleton = Skeleton()

    for at in range(len(raw)):
        skeleton.feed(raw[at : at + 1])

    assert json.loads(spliced(encode(skeleton.document()), raw)) == json.loads(raw)


def test_a_long_string_is_told_by_place_and_edges_and_not_held() -> None:
    raw = b'{"data":[{"b64_json":"' + b"A" * 64 + b"B" * 5000 + b"C" * 64 + b'"}]}'

    found = skeleton_of_bytes(raw)["data"][0]["b64_json"]

    assert found == LongString(22, 5128, b"A" * 64, b"C" * 64, escaped=False)


def test_strings_up_to_one_kibibyte_stay_and_longer_ones_become_slices() -> None:
    short, long = skeleton_of_bytes(b'["' + b"a" * 1024 + b'","' + b"a" * 1025 + b'"]')

    assert short == "a" * 1024
    assert long == LongString(1029, 1025, b"a" * 64, b"a" * 64, escaped=False)


def test_a_string_that_looks_like_a_marker_stays_a_string() -> None:
    skeleton = Skeleton()
    raw = json.dumps([f"{'0' * 32}:0", "0", "x" * 2000, f"{'f' * 32}:0"]).encode()
    skeleton.feed(raw)

    document = skeleton.document()

    assert document[0] == f"{'0' * 32}:0"
    assert json.loads(spliced(encode(document), raw)) == json.loads(raw)


def test_the_same_document_gives_the_same_bytes() -> None:
    raw = json.dumps({"a": "é" * 2000, "b": [1, 2.5, None, "x" * 1100]}, ensure_ascii=False).encode()

    assert encode(skeleton_of_bytes(raw)) == encode(skeleton_of_bytes(raw))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"a":1} x',
        b'{"a":1}{"a":1}',
        b'{"a":1,}',
        b'{"a":1,"a":2}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":"b',
        b'{"a":"' + b"b" * 3000,
        b'{"a":"' + b"b" * 3000 + b'"',
        b'{"a":"line\nbreak"}',
        b'{"a":"' + b"b" * 3000 + b'\n"}',
        b'{"a":"\xff"}',
        b'{"a":"' + b"b" * 3000 + b'\xff"}',
        b'{"a":"' + b"b" * 3000 + b'\xe7\x8c"}',
        b'{"' + b"k" * 3000 + b'":1}',
        b"[" * 65 + b"]" * 65,
        b"[" * 200_000,
        b"[" + b'"abcdefg",' * 200_000 + b'"a"]',
        b"<html></html>",
    ],
    ids=lambda raw: raw[:12].decode(errors="replace") + str(len(raw)),
)
def test_what_is_not_one_strict_document_is_refused(raw: bytes) -> None:
    skeleton = Skeleton()
    for at in range(0, len(raw), 1000):
        skeleton.feed(raw[at : at + 1000])

    with pytest.raises(MalformedAnswer):
        skeleton.document()


def test_a_byte_order_mark_and_nesting_of_64_are_accepted() -> None:
    assert skeleton_of_bytes(b"\xef\xbb\xbf[1]") == [1]
    assert skeleton_of_bytes(b"[" * 64 + b"]" * 64)


def test_a_refusal_quotes_nothing_of_the_answer() -> None:
    with pytest.raises(MalformedAnswer) as caught:
        skeleton_of_bytes(b'{"sk-secret":1,"sk-secret":2}')

    assert "secret" not in str(caught.value)
