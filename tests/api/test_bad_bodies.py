"""Bodies that are refused, over a socket."""

import asyncio
import io
import json
from collections.abc import Callable

import psutil
import pytest
from PIL import Image

from tests.api.bodies import JSON, MIB, MULTIPART, PNG, data_url, edit_json, picture
from tests.api.serving import Door
from tests.api.test_multipart import form, part

GENERATIONS, EDITS, VARIATIONS = "/v1/images/generations", "/v1/images/edits", "/v1/images/variations"
BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60_000).to_bytes(4) * 2 + bytes(9)


def mpo() -> bytes:
    """Write two pictures into one JPEG, as phones of Huawei do."""
    file, other = io.BytesIO(), Image.new("RGB", (8, 6), "blue")
    Image.new("RGB", (8, 6)).save(file, "MPO", save_all=True, append_images=[other])
    return file.getvalue()


BAD: list[tuple[str, str | None, bytes | Callable[[], bytes], int, str, str | None]] = [
    (GENERATIONS, None, b"prompt=a", 400, "invalid_json", None),
    (GENERATIONS, "text/plain", b"a", 415, "unsupported_media_type", None),
    (GENERATIONS, "application/x-www-form-urlencoded", b"prompt=a", 415, "unsupported_media_type", None),
    (GENERATIONS, MULTIPART, form(part("prompt", b"a")), 415, "unsupported_media_type", None),
    (GENERATIONS, "image/png", PNG, 415, "unsupported_media_type", None),
    (GENERATIONS, JSON, '{"prompt": "a"}'.encode("utf-16"), 400, "invalid_json", None),
    (GENERATIONS, "text/plain; charset=ISO-8859-1", b'{"prompt": "\xe9"}', 400, "invalid_json", None),
    (GENERATIONS, JSON, b"", 400, "invalid_json", None),
    (GENERATIONS, JSON, b'{"prompt": "a"} x', 400, "invalid_json", None),
    (GENERATIONS, JSON, b'{"prompt": "a",}', 400, "invalid_json", None),
    (GENERATIONS, JSON, b'{"prompt": "a"}{"prompt": "b"}', 400, "invalid_json", None),
    *((GENERATIONS, JSON, body, 400, "invalid_type", None) for body in (b"[]", b"null", b'"a"', b"5", b"true")),
    (GENERATIONS, JSON, b'{"prompt": "a", "n": 1, "n": 10}', 400, "duplicate_key", "n"),
    (GENERATIONS, JSON, b'{"\\ud800": 1, "\\ud800": 2}', 400, "duplicate_key", "\ud800"),
    (GENERATIONS, JSON, b'{"prompt": "\\ud800"}', 400, "invalid_json", "prompt"),
    (GENERATIONS, JSON, b'{"prompt": "a", "n": NaN}', 400, "invalid_json", None),
    (GENERATIONS, JSON, b'{"prompt": "a", "n": 1e400}', 400, "invalid_json", None),
    (GENERATIONS, JSON, b'{"a":' * 500_000, 413, "body_too_large", None),
    (GENERATIONS, JSON, b'{"a":' * 100_000, 400, "invalid_json", None),
    (GENERATIONS, JSON, b'{"prompt": "' + b"a" * MIB + b'"}', 413, "body_too_large", None),
    (GENERATIONS, JSON, b'{"prompt": "a", "n": "2"}', 400, "invalid_type", "n"),
    (GENERATIONS, JSON, b"{}", 400, "missing_required_parameter", "prompt"),
    (EDITS, "application/x-www-form-urlencoded", b"prompt=a", 415, "unsupported_media_type", None),
    (EDITS, None, form(part("prompt", b"a")), 415, "unsupported_media_type", None),
    (EDITS, "multipart/form-data", form(part("prompt", b"a")), 400, "invalid_multipart", None),
    (EDITS, "multipart/form-data; boundary=", form(part("prompt", b"a")), 400, "invalid_multipart", None),
    (EDITS, MULTIPART, part("prompt", b"a"), 400, "invalid_multipart", None),
    (EDITS, MULTIPART, form(part("prompt", b"a")), 400, "missing_required_parameter", "image"),
    (EDITS, MULTIPART, form(part("image", PNG)), 400, "missing_required_parameter", "prompt"),
    (EDITS, MULTIPART, form(part("prompt", b"a"), part("image", b"")), 400, "image_empty", "image"),
    (EDITS, MULTIPART, lambda: form(part("image", b"a" * 10_000_001)), 413, "body_too_large", "image"),
    (EDITS, MULTIPART, lambda: form(*[part("image", bytes(9_000_000))] * 8), 413, "body_too_large", None),
    (EDITS, MULTIPART, form(part("prompt", b"a"), part("image", BOMB)), 400, "image_too_large_in_pixels", "image"),
    *(
        (
            EDITS,
            MULTIPART,
            form(part("prompt", b"a"), part("image", data, filename="a.png", headers=b"Content-Type: image/png\r\n")),
            400,
            "invalid_image_type",
            "image",
        )
        for data in (
            picture("GIF"),
            mpo(),
            b"<svg/>",
            b"<!doctype html>",
            b"PK\3\4" + bytes(40),
            b"%PDF-1.7",
            b"\xff\xd8" + b"\xff\xe0\0\2" * 60_000,
        )
    ),
    (EDITS, JSON, b"[]", 400, "invalid_type", None),
    (EDITS, JSON, b'{"prompt": "a"}', 400, "missing_required_parameter", "images"),
    (EDITS, JSON, edit_json(images=[]), 400, "missing_required_parameter", "images"),
    (EDITS, JSON, edit_json(images=data_url()), 400, "invalid_type", "images"),
    (EDITS, JSON, edit_json(images=[data_url()]), 400, "invalid_type", "images[0]"),
    (EDITS, JSON, edit_json(images=[{}]), 400, "missing_required_parameter", "images[0].image_url"),
    (EDITS, JSON, edit_json(images=[{"image_url": 5}]), 400, "invalid_type", "images[0].image_url"),
    (EDITS, JSON, edit_json(images=[{"image_url": "http://x/a.png"}]), 400, "invalid_value", "images[0].image_url"),
    (EDITS, JSON, edit_json(images=[{"file_id": "file-1"}]), 400, "invalid_value", "images[0].file_id"),
    (EDITS, JSON, edit_json(images=[{"image_url": data_url(), "x": 1}]), 400, "invalid_value", "images[0].image_url"),
    (EDITS, JSON, edit_json(images=[{"image_url": data_url()}] * 17), 400, "invalid_value", "image"),
    (EDITS, JSON, edit_json(images=[{"image_url": data_url()}] * 18), 400, "invalid_value", "images"),
    (EDITS, JSON, edit_json(images=[{"image_url": data_url() + "*"}]), 400, "invalid_value", "images"),
    (EDITS, JSON, edit_json(images=[{"image_url": data_url() + "\n"}]), 400, "invalid_value", "images"),
    (EDITS, JSON, edit_json(images=[{"image_url": data_url(b"")}]), 400, "image_empty", "image"),
    (EDITS, JSON, edit_json(images=[{"image_url": data_url(b"<svg/>")}]), 400, "invalid_image_type", "image"),
    (
        EDITS,
        JSON,
        lambda: edit_json(images=[{"image_url": data_url(bytes(10_000_001))}]),
        413,
        "body_too_large",
        "images",
    ),
    (EDITS, JSON, edit_json(mask={"image_url": "https://x/a.png"}), 400, "invalid_value", "mask.image_url"),
    (EDITS, JSON, edit_json(prompt=data_url()), 400, "invalid_value", "prompt"),
    (EDITS, JSON, edit_json(other={"deep": [data_url()]}), 400, "invalid_value", "other"),
    (EDITS, JSON, edit_json()[:-40], 400, "invalid_json", None),
    (EDITS, JSON, lambda: b'{"a": "' + b"x" * (64 * MIB) + b'"}', 413, "body_too_large", None),
    (EDITS, JSON, b'{"a": "' + b"x" * (2 * MIB) + b'"}', 413, "body_too_large", None),
    (EDITS, JSON, b'{"a": [' + b'"",' * 300_000 + b'""]}', 400, "invalid_json", None),
    (VARIATIONS, JSON, b"{}", 415, "unsupported_media_type", None),
    (VARIATIONS, MULTIPART, form(part("image", PNG), part("mask", PNG)), 400, "invalid_multipart", "mask"),
    (VARIATIONS, MULTIPART, form(part("image", PNG), part("image", PNG)), 400, "invalid_value", "image"),
]


async def test_every_bad_body_is_refused_over_a_socket_in_openai_s_words(door: Door, fds: Callable[[], int]) -> None:
    process = psutil.Process()
    bodies = [body() if callable(body) else body for _, _, body, *_ in BAD]
    await door.post(GENERATIONS, JSON, b"{}")
    fds_before, rss_before = fds(), process.memory_info().rss

    for body, (path, content_type, _, status, code, param) in zip(bodies, BAD, strict=True):
        answer = await door.post(path, content_type, body)
        head, _, text = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (path, body[:80], answer[:300])
        error = json.loads(text)["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert (error["code"], error["param"], error["type"]) == (code, param, "invalid_request_error"), body[:80]
        assert b"\r\nx-should-retry: false" in head
        assert b"\r\nx-request-id: req_" in head

    assert door.accepted == []
    await asyncio.sleep(0)
    assert fds() <= fds_before
    assert process.memory_info().rss - rss_before < 100 * MIB


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x"])
async def test_an_encoded_body_is_refused(door: Door, encoding: str) -> None:
    answer = await door.post(GENERATIONS, JSON, b'{"prompt": "a"}', f"Content-Encoding: {encoding}")

    assert answer.startswith(b"HTTP/1.1 415 ")
    assert (await door.post(GENERATIONS, JSON, b'{"prompt": "a"}', "Content-Encoding: identity")).startswith(
        b"HTTP/1.1 200 "
    )


async def test_an_endless_chunked_body_is_refused_at_the_cap(door: Door) -> None:
    head = (
        b"POST /v1/images/generations HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"

    answer = await door.talk(head, *[chunk] * 40)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


async def test_a_promise_above_the_cap_is_refused_before_the_body_and_before_100_continue(door: Door) -> None:
    answer = await door.talk(
        b"POST /v1/images/edits HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=cut-here\r\n"
        b"Expect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"
    )

    assert answer.startswith(b"HTTP/1.1 413 ")
