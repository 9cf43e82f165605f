from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest

from app.core.request import ImageRequest
from app.spool import segments_bytes, segments_chunks
from app.upstream.multipart_out import encode_multipart
from tests.upstream.given import image_request


def parts(wanted: ImageRequest) -> list[tuple[str, str | None, str, bytes]]:
    """(name, file name, content type, content), as an unrelated parser reads them."""
    content_type, segments = encode_multipart(wanted.fields, wanted.uploads)
    assert wanted.spool is not None
    body = b"".join(segments_chunks(segments, wanted.spool))
    assert segments_bytes(segments) == len(body)
    message: Any = BytesParser(EmailMessage, policy=HTTP).parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body
    )
    return [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_content_type(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]


def test_text_comes_first_then_one_image_and_the_mask(tmp_path: Path) -> None:
    wanted = image_request("edit", files={"image": b"\x89PNG one", "mask": b"\x89PNG mask"}, directory=tmp_path)

    assert parts(wanted) == [
        ("model", None, "text/plain", b"gpt-image-1"),
        ("prompt", None, "text/plain", "猫 cat".encode()),
        ("image", "image-0.png", "image/png", b"\x89PNG one"),
        ("mask", "mask.png", "image/png", b"\x89PNG mask"),
    ]


def test_several_images_go_as_a_list(tmp_path: Path) -> None:
    wanted = image_request("edit", files={"image": b"one", "image2": b"two"}, directory=tmp_path)

    assert [part[:2] for part in parts(wanted)[2:]] == [("image[]", "image-0.png"), ("image[]", "image-1.png")]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (2, [("x", b"2")]),
        (True, [("x", b"true")]),
        (None, []),
        ("", [("x", b"")]),
        (["a", 1], [("x[]", b"a"), ("x[]", b"1")]),
        ({"model": "m", "reasoning": {"effort": "low"}}, [("x[model]", b"m"), ("x[reasoning][effort]", b"low")]),
        ("a\r\n--b\r\nContent-Type: x", [("x", b"a\r\n--b\r\nContent-Type: x")]),
    ],
)
def test_fields_that_came_as_json_are_spelled_as_the_sdk_does(value: Any, sent: list[Any], tmp_path: Path) -> None:
    wanted = image_request("edit", fields={"x": value}, files={"image": b"one"}, directory=tmp_path)

    assert [(name, content) for name, _, _, content in parts(wanted)[2:-1]] == sent


def test_a_field_name_cannot_break_out_of_its_header(tmp_path: Path) -> None:
    wanted = image_request("edit", fields={'a"\r\nX: y': "v"}, files={"image": b"one"}, directory=tmp_path)

    assert parts(wanted)[2][0] == "a%22%0D%0AX: y"
