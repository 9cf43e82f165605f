"""Parameters of edits and variations, as forms and as JSON."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from PIL import Image

from app.core import parameters
from app.core.uploads import FilePart
from app.errors import GatewayError, InvalidImageType
from app.spool import Slice, Spool


def png(width: int = 8, height: int = 6) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path)
    yield spool
    spool.close()


def file(spool: Spool, name: str = "image", data: bytes | None = None) -> FilePart:
    data = png() if data is None else data
    spool.write(data)
    return FilePart(name, Slice(spool.size_bytes - len(data), len(data)), blake3(data).hexdigest())


def test_an_edit_reads_text_fields_as_what_they_mean(spool: Spool) -> None:
    fields: dict[str, str | list[str]] = {
        "prompt": "a hat",
        "model": "gpt-image-1",
        "n": "3",
        "size": "",
        "quality": "high",
        "stream": "True",
        "partial_images": "2",
        "list[]": ["a", "b"],
        "svg[model]": "x",
    }

    wanted = parameters.edit(fields, [file(spool, "image[0]"), file(spool, "image[]"), file(spool, "mask")], spool)

    assert (wanted.operation, wanted.n, wanted.size, wanted.quality) == ("edit", 3, None, "high")
    assert (wanted.stream, wanted.partial_images, wanted.prompt_chars) == (True, 2, 5)
    assert [upload.field for upload in wanted.uploads] == ["image", "image", "mask"]
    assert [(upload.width_px, upload.height_px, upload.content_type) for upload in wanted.uploads] == [
        (8, 6, "image/png")
    ] * 3
    assert wanted.uploads[0].digest == blake3(png()).hexdigest()
    assert wanted.spool is spool
    assert wanted.fields == {
        "prompt": "a hat",
        "model": "gpt-image-1",
        "n": "3",
        "quality": "high",
        "stream": "true",
        "partial_images": "2",
        "list[]": ["a", "b"],
        "svg[model]": "x",
    }


def test_empty_text_and_n_0_count_as_absent_in_a_form(spool: Spool) -> None:
    fields: dict[str, str | list[str]] = {"prompt": "a hat", "n": "0", "size": "", "response_format": "", "model": ""}

    wanted = parameters.edit(fields, [file(spool)], spool)

    assert (wanted.n, wanted.model) == (1, "gpt-image-1")
    assert wanted.fields == {"model": "gpt-image-1", "prompt": "a hat"}


BAD_TEXT: list[tuple[dict[str, Any], str, str]] = [
    ({"n": "11"}, "invalid_value", "n"),
    ({"n": "-1"}, "invalid_value", "n"),
    *(({"n": value}, "invalid_type", "n") for value in ("two", "1.5", " 2", "+2", "１", "1_0", "9" * 30)),
    ({"n": ["1", "10"]}, "duplicate_key", "n"),
    ({"model": ["a", "b"]}, "duplicate_key", "model"),
    ({"stream": "yes"}, "invalid_type", "stream"),
    ({"partial_images": "4"}, "invalid_value", "partial_images"),
    ({"prompt": ""}, "missing_required_parameter", "prompt"),
    ({"prompt": "  "}, "invalid_value", "prompt"),
    ({"prompt": "a\0"}, "invalid_value", "prompt"),
    ({"N": "10"}, "invalid_value", "N"),
    ({"num_images": "30"}, "invalid_value", "num_images"),
    ({"parameters[n]": "30"}, "invalid_value", "parameters[n]"),
    ({'x"; name="n': "10"}, "invalid_value", 'x"; name="n'),
    ({"x\r\ny": "10"}, "invalid_value", "x\\r\\ny"),
]


@pytest.mark.parametrize(("fields", "code", "param"), BAD_TEXT, ids=lambda value: repr(value)[:32])
def test_a_bad_text_field_is_refused_by_its_name(spool: Spool, fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        parameters.edit({"prompt": "a hat", **fields}, [file(spool)], spool)

    assert (refused.value.status, refused.value.code, refused.value.param) == (400, code, param)


BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 60_000, 60_000) + bytes(9)
BAD_FILES: list[tuple[list[tuple[str, bytes]], str, str]] = [
    ([], "missing_required_parameter", "image"),
    ([("mask", png())], "missing_required_parameter", "image"),
    ([("image", png())] * 17, "invalid_value", "image"),
    ([("image", png()), ("mask", png()), ("mask", png())], "duplicate_key", "mask"),
    ([("image", b"")], "image_empty", "image"),
    ([("image", BOMB)], "image_too_large_in_pixels", "image"),
    ([("image", png()), ("mask", b"<html>")], "invalid_image_type", "mask"),
    ([("picture", png())], "invalid_multipart", "picture"),
    *(
        ([("image[]", data)], "invalid_image_type", "image")
        for data in (b"GIF89a" + bytes(50), b"<svg/>", b"<html>", b"PK\3\4" + bytes(50), b"%PDF-1.7")
    ),
]


@pytest.mark.parametrize(("files", "code", "param"), BAD_FILES, ids=lambda value: repr(value)[:32])
def test_a_bad_file_is_refused_by_its_field(
    spool: Spool, files: list[tuple[str, bytes]], code: str, param: str
) -> None:
    with pytest.raises(GatewayError) as refused:
        parameters.edit({"prompt": "a hat"}, [file(spool, *each) for each in files], spool)

    assert (refused.value.status, refused.value.code, refused.value.param) == (400, code, param)


def test_a_json_edit_ends_up_in_the_form_of_a_multipart_one(spool: Spool) -> None:
    fields = {
        "prompt": "a hat",
        "n": 2,
        "stream": False,
        "strength": 0.5,
        "tags": ["a", 1],
        "svg": {"model": "x"},
        "seed": None,
        "api_base": "http://evil.example",
    }

    wanted = parameters.edit_json(fields, [file(spool), file(spool, "mask")], spool)

    assert (wanted.operation, wanted.n, wanted.stream) == ("edit", 2, False)
    assert [upload.field for upload in wanted.uploads] == ["image", "mask"]
    assert wanted.fields == {
        "model": "gpt-image-1",
        "prompt": "a hat",
        "n": "2",
        "stream": "false",
        "strength": "0.5",
        "tags[]": ["a", "1"],
        "svg[model]": "x",
    }


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"n": "2"}, "invalid_type", "n"),
        ({"n": 0}, "invalid_value", "n"),
        ({"image": "x"}, "invalid_value", "image"),
        ({"a": {'"\r\nb': 1}}, "invalid_value", 'a["\\r\\nb]'),
    ],
)
def test_a_json_edit_is_as_strict_as_a_generation(spool: Spool, fields: dict[str, Any], code: str, param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        parameters.edit_json({"prompt": "a hat", **fields}, [file(spool)], spool)

    assert (refused.value.code, refused.value.param) == (code, param)


def test_a_variation_takes_one_image_and_no_prompt(spool: Spool) -> None:
    wanted = parameters.variation({"n": "2", "size": "256x256"}, [file(spool)], spool)

    assert (wanted.operation, wanted.n, wanted.size, wanted.prompt_chars) == ("variation", 2, "256x256", 0)
    for names in (["image", "image"], ["image", "mask"], []):
        with pytest.raises(GatewayError):
            parameters.variation({}, [file(spool, name) for name in names], spool)
    with pytest.raises(GatewayError):
        parameters.variation({"stream": "true"}, [file(spool)], spool)


def test_an_mpo_is_refused_with_its_name_and_the_cure(spool: Spool) -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 6)).save(out, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 6), "blue")])

    with pytest.raises(InvalidImageType, match=r"'image' is an MPO file labelled JPEG.*save it as a plain JPEG or PNG"):
        parameters.edit({"prompt": "a hat"}, [file(spool, "image", out.getvalue())], spool)


@pytest.mark.parametrize("segments", [0, 1, 40], ids=["none", "some", "megabytes"])
def test_a_photograph_is_read_whatever_metadata_it_has(spool: Spool, segments: int) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30)).save(out, "JPEG")
    plain = out.getvalue()
    data = plain[:2] + (b"\xff\xe1" + struct.pack(">H", 65_002) + bytes(65_000)) * segments + plain[2:]

    wanted = parameters.edit({"prompt": "a hat"}, [file(spool, "image", data)], spool)

    assert (wanted.uploads[0].width_px, wanted.uploads[0].content_type) == (40, "image/jpeg")
