import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core.pricing import Usage
from app.spool import Spool, segments_chunks
from app.upstream.answer import images_response
from app.upstream.classify import Verdict
from app.upstream.images import Images, image_format, read_images, read_usage
from app.upstream.pictures import decoded
from app.upstream.skeleton import LongString
from tests.upstream.given import PNG, PNG_B64, USAGE, b64, skeleton_of, skeleton_of_bytes, spliced

SVG = b'<svg xmlns="http://www.w3.org/2000/svg">'


def images_of(document: Any, n: int = 1) -> Images:
    read = read_images(skeleton_of(document), n)
    assert isinstance(read, Images)
    return read


@pytest.mark.parametrize(
    "document",
    [
        [],
        None,
        "text",
        {},
        {"data": None},
        {"data": {}},
        {"data": []},
        {"data": [None, 1, "x", []]},
        {"data": [{}]},
        {"data": [{"url": "", "b64_json": "", "revised_prompt": "a cat"}]},
        {"data": [{"b64_json": None, "url": 7}]},
        {"error": {"message": "no", "code": "insufficient_user_quota"}},
        {"error": "no", "data": [{"b64_json": PNG_B64}]},
    ],
)
def test_a_200_without_an_image_is_unknown_and_never_given_back(document: Any) -> None:
    verdict = read_images(skeleton_of(document), 1)

    assert isinstance(verdict, Verdict)
    assert verdict.outcome == "unknown"
    assert (verdict.error.status, verdict.error.code, verdict.error.retryable) == (
        424,
        "upstream_outcome_unknown",
        False,
    )


def test_the_reason_in_a_200_is_told_clean() -> None:
    verdict = read_images({"error": {"message": "blocked (request id: 20250425144835174044863D5lbubkO)"}}, 1)

    assert isinstance(verdict, Verdict)
    assert "an error: blocked." in verdict.error.message


def test_empty_strings_are_dropped_and_foreign_keys_too() -> None:
    item = {"url": "", "b64_json": PNG_B64, "revised_prompt": "", "seed": 7}

    assert images_of({"data": [item]}).items[0].keys() == {"b64_json"}


def test_a_url_passes_as_it_came_whatever_it_is() -> None:
    images = images_of({"data": [{"url": "http://dead.example/x"}]})

    assert images.items == [{"url": "http://dead.example/x"}]
    assert not images.short


def test_fewer_images_than_asked_are_short_and_more_are_not() -> None:
    assert images_of({"data": [{"b64_json": PNG_B64}, None]}, n=2).short
    assert not images_of({"data": [{"b64_json": PNG_B64}] * 3}, n=2).short


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
        (b"GIF89a", "gif"),
        (SVG, "svg"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>', "svg"),
        (b"<html><body>", None),
        (b"%PDF-1.7", None),
        (b"BM", None),
    ],
)
def test_the_type_is_read_from_the_first_bytes(data: bytes, kind: str | None) -> None:
    long = skeleton_of([b64(data)])[0]

    assert isinstance(long, LongString)
    assert image_format(long) == kind == image_format(b64(data)[:64])
    assert images_of({"data": [{"b64_json": b64(data)}]}).bad_payload == (kind is None)


@pytest.mark.parametrize(
    "payload",
    [
        PNG_B64[:-8] + "????====",
        PNG_B64[:-4] + "A=A=",
        "!" + PNG_B64[1:],
        "not an image",
        "x" * 4000,
        "aGVsbG8=",
        "é" * 2000,
    ],
)
def test_base64_that_is_broken_or_no_image_is_a_bad_payload(payload: str) -> None:
    images = images_of({"data": [{"b64_json": payload}], "usage": USAGE})

    assert images.bad_payload
    assert images.items == []
    assert images.usage == Usage(100, 50, 50, 10, 40)


def test_a_bad_payload_beside_a_good_one_only_makes_the_answer_short() -> None:
    images = images_of({"data": [{"b64_json": "x" * 4000}, {"b64_json": PNG_B64}]}, n=2)

    assert (images.bad_payload, images.short, len(images.items)) == (False, True, 1)


def test_a_bad_payload_with_a_url_leaves_the_url() -> None:
    assert images_of({"data": [{"b64_json": "x", "url": "https://a"}]}).items == [{"url": "https://a"}]


@pytest.mark.parametrize("escape", [{"/": r"\/"}, {"/": r"\u002f", "=": r"\u003d", "+": r"\u002B"}])
@pytest.mark.parametrize("padding", range(3))
def test_base64_is_recognised_through_the_escapes_of_other_json_writers(escape: dict[str, str], padding: int) -> None:
    text = b64(b"\xff\xd8\xff" + b"\xff\xff\xfb\xef" * 600 + b"\xff" * padding + b"\xff" * 700)
    for plain, escaped in escape.items():
        text = text.replace(plain, escaped)

    images = read_images(skeleton_of_bytes(b'{"data":[{"b64_json":"%b"}]}' % text.encode()), 1)

    assert isinstance(images, Images)
    assert not images.bad_payload


@pytest.mark.parametrize(
    "prefix",
    [
        "data:image/png;base64,",
        "DATA:image/jpeg;Base64,",
        "data:;base64,",
        "data:image/png;charset=utf-8;base64,",
        "data:image/svg+xml;base64, ",
        "data:application/octet-stream;base64,",
    ],
)
def test_a_data_url_in_b64_json_becomes_bare_base64(prefix: str) -> None:
    document = {"data": [{"b64_json": prefix + PNG_B64}]}
    raw = json.dumps(document).encode()
    escaped = raw.replace(b"image/", b"image\\/")

    for body in (raw, escaped):
        images = read_images(skeleton_of_bytes(body), 1)
        assert isinstance(images, Images)
        answer = json.loads(spliced(images_response(images, created_s=1), body))
        assert answer["data"] == [{"b64_json": PNG_B64}]
    assert images_of({"data": [{"b64_json": f"{prefix}iVBORw0KGgo="}]}).items == [{"b64_json": "iVBORw0KGgo="}]


JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 12


@pytest.mark.parametrize("picture", [JPEG, PNG, JPEG[:300], PNG[:301]])
@pytest.mark.parametrize("short_by", range(3))
@pytest.mark.parametrize("write", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize(("padding", "dropped"), [(b"=", 0), (b"", 0), (b"====", 0), (b"", 3)])
def test_base64_without_padding_or_for_urls_reaches_the_client_in_the_one_form(
    tmp_path: Path, picture: bytes, short_by: int, write: Callable[[bytes], bytes], padding: bytes, dropped: int
) -> None:
    picture = picture[: len(picture) - short_by]
    digits = write(picture).rstrip(b"=")
    digits = digits[: len(digits) // 4 * 4 - dropped] if dropped else digits
    body = b'{"data":[{"b64_json":"%b","revised_prompt":"%b"}]}' % (digits + padding, b"a_b-c" * 300)
    spool = Spool(tmp_path)
    spool.write(body)

    images = read_images(skeleton_of_bytes(body), 1)

    assert isinstance(images, Images)
    answer = json.loads(b"".join(segments_chunks(images_response(images, created_s=1), spool)))
    sent = b64decode(answer["data"][0]["b64_json"], validate=True)
    assert sent == (picture[: len(digits) * 3 // 4] if dropped else picture)
    assert answer["data"][0]["revised_prompt"] == "a_b-c" * 300
    assert b"".join(decoded(images.items[0]["b64_json"], spool)) == sent


SHORT = "iVBORw0KGgo="


@pytest.mark.parametrize("b64", [PNG_B64, SHORT])
@pytest.mark.parametrize("more", [{}, {"b64_json": "no image"}, {"b64_json": ""}])
def test_a_data_url_in_url_is_read_as_base64(b64: str, more: dict[str, str]) -> None:
    body = json.dumps({"data": [{"url": f"data:image/png;base64,{b64}", "revised_prompt": "a"} | more]}).encode()
    images = read_images(skeleton_of_bytes(body), 1)

    assert isinstance(images, Images)
    answer = json.loads(spliced(images_response(images, created_s=1), body))
    assert answer["data"] == [{"b64_json": b64, "revised_prompt": "a"}]


def test_a_data_url_beside_base64_is_left_out_and_one_of_no_image_stays() -> None:
    other = {"url": "data:image/png;base64,aGVsbG8="}

    assert images_of({"data": [{"b64_json": SHORT, "url": f"data:;base64,{SHORT}"}]}).items == [{"b64_json": SHORT}]
    assert images_of({"data": [{"b64_json": SHORT, **other}]}).items == [{"b64_json": SHORT}]
    assert images_of({"data": [other]}).items == [other]


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (USAGE, Usage(100, 50, 50, 10, 40)),
        (USAGE | {"input_tokens_details": None}, Usage(100, 50, 50)),
        (USAGE | {"input_tokens_details": {"text_tokens": 10}}, Usage(100, 50, 50)),
        (USAGE | {"input_tokens_details": {"text_tokens": 10, "image_tokens": 30}}, Usage(100, 50, 50)),
        ({"generated_images": 1, "output_tokens": 4096, "total_tokens": 4096}, None),
        (USAGE | {"output_tokens": -1}, None),
        (USAGE | {"output_tokens": "50"}, None),
        (USAGE | {"output_tokens": 50.0, "total_tokens": 100.0}, Usage(100, 50, 50, 10, 40)),
        (USAGE | {"output_tokens": 50.5}, None),
        (USAGE | {"total_tokens": None}, Usage(100, 50, 50, 10, 40)),
        ({"input_tokens": 6, "output_tokens": 1056.0}, Usage(1062, 6, 1056)),
        (USAGE | {"input_tokens": None}, None),
        (USAGE | {"output_tokens": True}, None),
        (USAGE | {"output_tokens": 10**30}, None),
        ({"total_tokens": 0, "input_tokens": 0, "output_tokens": 0}, None),
        (None, None),
        ([], None),
    ],
)
def test_usage_is_whole_or_not_there(usage: Any, read: Usage | None) -> None:
    assert read_usage(usage) == read


def test_facts_of_the_answer_are_read_and_odd_ones_dropped() -> None:
    images = images_of(
        {
            "created": 7,
            "data": [{"url": "u"}],
            "size": "1664x936",
            "quality": 3,
            "background": "x" * 99,
            "output_format": "png",
        }
    )

    assert (images.created, images.size, images.quality, images.background, images.output_format) == (
        7,
        "1664x936",
        None,
        None,
        "png",
    )
    assert images_of({"created": "7", "data": [{"url": "u"}]}).created is None
