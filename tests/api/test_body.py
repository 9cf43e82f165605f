import asyncio
import base64
import io
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from app.api.body import BodyCaps, read_edit, read_generation, read_variation
from app.api.data_urls import DataUrlReader
from app.core.request import ImageRequest
from app.errors import BadRequest, GatewayError, InvalidValue, StorageFull
from app.spool import Spool
from tests.api.serving import Door, serving
from tests.api.test_multipart import form, part

JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=cut-here"
MIB = 1024 * 1024


def picture(format: str = "PNG", width: int = 8, height: int = 6) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, format)
    return out.getvalue()


PNG = picture()


def data_url(data: bytes = PNG) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def request_of(content_type: str, chunks: list[bytes], *, then: str = "end", headers: tuple[Any, ...] = ()) -> Request:
    """A request whose body comes in these chunks and then ends, stalls or is cut by a disconnect."""
    waiting = iter(chunks)

    async def receive() -> Message:
        chunk = next(waiting, None)
        if chunk is not None:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if then == "stall":
            await asyncio.Event().wait()
        if then == "leave":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    sent = [(b"content-type", content_type.encode()), *headers]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": sent}, receive)


def cut(body: bytes, cuts: list[int]) -> list[bytes]:
    return [body[start:end] for start, end in pairwise([0, *sorted(cuts), len(body)])]


@pytest.fixture
def caps(tmp_path: Path) -> BodyCaps:
    return BodyCaps(tmp_path)


@pytest.fixture(scope="module")
async def server(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with serving(BodyCaps(tmp_path_factory.mktemp("spool"))) as door:
        yield door


@pytest.fixture
def door(server: Door) -> Door:
    server.accepted.clear()
    return server


@pytest.fixture
def fds() -> Callable[[], int]:
    return psutil.Process().num_fds


# --- what is taken ---


async def test_a_generation_is_read_from_json(caps: BodyCaps) -> None:
    body = json.dumps({"prompt": "a cat", "n": 2, "seed": 7}).encode()

    wanted = await read_generation(request_of("Application/JSON; charset=UTF-8", [b"\xef\xbb\xbf", body]), caps)

    assert (wanted.n, wanted.fields["seed"]) == (2, 7)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2000), max_size=30))
async def test_an_edit_is_the_same_however_its_bytes_are_cut(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    caps = BodyCaps(tmp_path_factory.getbasetemp())
    two = picture("JPEG")
    multipart = form(part("prompt", "ein Hut, 帽子".encode()), part("image[]", PNG), part("image[]", two))
    as_json = json.dumps(
        {"prompt": "ein Hut, 帽子", "images": [{"image_url": data_url()}, {"image_url": data_url(two)}]}, indent=1
    ).encode()

    for content_type, body in ((MULTIPART, multipart), (JSON, as_json), (JSON, as_json.replace(b"/", b"\\/"))):
        wanted = await read_edit(request_of(content_type, cut(body, [at % len(body) for at in cuts])), caps)
        try:
            assert wanted.spool is not None
            assert [b"".join(wanted.spool.chunks(upload.piece)) for upload in wanted.uploads] == [PNG, two]
            assert wanted.fields == {"model": "gpt-image-1", "prompt": "ein Hut, 帽子"}
        finally:
            wanted.close()


@given(st.dictionaries(st.text(), st.text() | st.just("data:") | st.integers(), max_size=5), st.data(), st.booleans())
def test_json_without_data_urls_passes_through_unchanged(
    fields: dict[str, Any], data: st.DataObject, ascii_only: bool
) -> None:
    body = json.dumps(fields, ensure_ascii=ascii_only).encode()
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=10))
    reader = DataUrlReader(Spool(Path()), rest_bytes_max=MIB, file_bytes_max=MIB, files_max=1)

    for chunk in cut(body, cuts):
        reader.feed(chunk)

    assert reader.finish() == body


def pictures_of(body: bytes, *cuts: int) -> bytes:
    """What comes out of the one data URL in `body`, a list of one image."""
    spool = Spool(Path())
    reader = DataUrlReader(spool, rest_bytes_max=MIB, file_bytes_max=MIB, files_max=1)
    for chunk in cut(body, list(cuts)):
        reader.feed(chunk)
    _, files = reader.extract_files(json.loads(reader.finish()))
    return spool.read(files[0].piece)


def test_a_data_url_fed_byte_by_byte_with_escaped_slashes_is_decoded() -> None:
    data = b"\xff\xff\xff" * 20 + b"x"
    body = json.dumps({"images": [{"image_url": data_url(data)}]}).replace("/", "\\/").encode()

    assert pictures_of(body, *range(1, len(body))) == data


def test_data_after_the_padding_is_refused_wherever_the_cut_falls() -> None:
    body = json.dumps({"images": [{"image_url": "data:image/png;base64,QUI=QUJD"}]}).encode()

    for at in range(len(body)):
        with pytest.raises(InvalidValue):
            pictures_of(body, at)


async def test_a_json_edit_takes_a_mask_and_keeps_strings_that_only_look_like_data_urls(caps: BodyCaps) -> None:
    prompt = 'data: a, "b\\", data:image/png;base64 and data:x,y' * 20
    body = {"mask": {"image_url": data_url()}, "images": [{"image_url": data_url(), "file_id": None}], "prompt": prompt}

    wanted = await read_edit(request_of(JSON, [json.dumps(body).encode()]), caps)

    assert [upload.field for upload in wanted.uploads] == ["image", "mask"]
    assert wanted.fields["prompt"] == prompt
    wanted.close()


async def test_a_variation_is_read_from_a_form(caps: BodyCaps) -> None:
    wanted = await read_variation(request_of(MULTIPART, [form(part("image", PNG), part("n", b"0"))]), caps)

    assert (wanted.operation, wanted.n, len(wanted.uploads)) == ("variation", 1, 1)
    wanted.close()


async def test_the_largest_json_edit_costs_no_memory(caps: BodyCaps) -> None:
    image = {"image_url": data_url(PNG + random.Random(1).randbytes(9_000_000))}
    body = json.dumps({"prompt": "a hat", "images": [image] * 5}).encode()
    chunks = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]
    tracemalloc.start()

    wanted = await read_edit(request_of(JSON, chunks), caps)

    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(wanted.uploads) == 5
    assert peak_bytes < 5 * MIB
    wanted.close()


# --- what is refused: path, content type, body, status, code, param ---

GENERATIONS, EDITS, VARIATIONS = "/v1/images/generations", "/v1/images/edits", "/v1/images/variations"


def edit_json(**fields: Any) -> bytes:
    return json.dumps({"prompt": "a hat", "images": [{"image_url": data_url()}], **fields}).encode()


BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60_000).to_bytes(4) * 2 + bytes(9)

BAD: list[tuple[str, str | None, bytes, int, str, str | None]] = [
    (GENERATIONS, None, b'{"prompt": "a"}', 415, "unsupported_media_type", None),
    (GENERATIONS, "text/plain", b'{"prompt": "a"}', 415, "unsupported_media_type", None),
    (GENERATIONS, "application/x-www-form-urlencoded", b"prompt=a", 415, "unsupported_media_type", None),
    (GENERATIONS, MULTIPART, form(part("prompt", b"a")), 415, "unsupported_media_type", None),
    (GENERATIONS, "application/json; charset=utf-16", b"{}", 415, "unsupported_media_type", None),
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
    (EDITS, "multipart/form-data", form(part("prompt", b"a")), 400, "invalid_multipart", None),
    (EDITS, "multipart/form-data; boundary=", form(part("prompt", b"a")), 400, "invalid_multipart", None),
    (EDITS, MULTIPART, part("prompt", b"a"), 400, "invalid_multipart", None),
    (EDITS, MULTIPART, form(part("prompt", b"a")), 400, "missing_required_parameter", "image"),
    (EDITS, MULTIPART, form(part("image", PNG)), 400, "missing_required_parameter", "prompt"),
    (EDITS, MULTIPART, form(part("prompt", b"a"), part("image", b"")), 400, "image_empty", "image"),
    (EDITS, MULTIPART, form(part("image", b"a" * 10_000_001)), 413, "body_too_large", "image"),
    (EDITS, MULTIPART, form(*[part("image", bytes(9_000_000))] * 8), 413, "body_too_large", None),
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
    (EDITS, JSON, edit_json(images=[{"image_url": data_url(bytes(10_000_001))}]), 413, "body_too_large", "images"),
    (EDITS, JSON, edit_json(mask={"image_url": "https://x/a.png"}), 400, "invalid_value", "mask.image_url"),
    (EDITS, JSON, edit_json(prompt=data_url()), 400, "invalid_value", "prompt"),
    (EDITS, JSON, edit_json(other={"deep": [data_url()]}), 400, "invalid_value", "other"),
    (EDITS, JSON, edit_json()[:-40], 400, "invalid_json", None),
    (EDITS, JSON, b'{"a": "' + b"x" * (64 * MIB) + b'"}', 413, "body_too_large", None),
    (EDITS, JSON, b'{"a": "' + b"x" * (2 * MIB) + b'"}', 413, "body_too_large", None),
    (EDITS, JSON, b'{"a": [' + b'"",' * 300_000 + b'""]}', 400, "invalid_json", None),
    (VARIATIONS, JSON, b"{}", 415, "unsupported_media_type", None),
    (VARIATIONS, MULTIPART, form(part("image", PNG), part("mask", PNG)), 400, "invalid_multipart", "mask"),
    (VARIATIONS, MULTIPART, form(part("image", PNG), part("image", PNG)), 400, "invalid_value", "image"),
]


async def test_every_bad_body_is_refused_over_a_socket_in_openai_s_words(door: Door, fds: Callable[[], int]) -> None:
    process = psutil.Process()
    await door.post(GENERATIONS, JSON, b"{}")
    fds_before, rss_before = fds(), process.memory_info().rss

    for path, content_type, body, status, code, param in BAD:
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


async def test_two_content_types_are_refused(door: Door) -> None:
    answer = await door.post(GENERATIONS, JSON, b'{"prompt": "a"}', "Content-Type: text/plain")

    assert answer.startswith(b"HTTP/1.1 415 ")


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


@pytest.mark.parametrize("content_type", [JSON, MULTIPART])
async def test_a_body_that_stalls_is_dropped(tmp_path: Path, fds: Callable[[], int], content_type: str) -> None:
    caps = BodyCaps(tmp_path, idle_s=0.05)
    begin = part("image", b"x" * 600_000) if content_type == MULTIPART else edit_json()[:100]
    before = fds()

    with pytest.raises(BadRequest) as refused:
        await read_edit(request_of(content_type, [begin], then="stall"), caps)

    assert (refused.value.status, refused.value.retryable) == (400, False)
    assert refused.value.headers == {"connection": "close"}
    assert fds() == before


async def test_a_byte_now_and_then_is_a_stall_too(tmp_path: Path) -> None:
    drip = request_of(JSON, [])
    sent = 0

    async def receive() -> Message:
        nonlocal sent
        sent += 1
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(BadRequest):
        async with asyncio.timeout(5):
            await read_generation(Request(drip.scope, receive), BodyCaps(tmp_path, idle_s=0.1))

    assert sent > 1


async def test_a_slow_body_that_keeps_moving_is_read(tmp_path: Path) -> None:
    chunks = iter([*[b" " * 20_000] * 8, b'{"prompt": "a"}'])

    async def receive() -> Message:
        await asyncio.sleep(0.03)
        chunk = next(chunks, b"")
        return {"type": "http.request", "body": chunk, "more_body": chunk != b""}

    wanted = await read_generation(Request(request_of(JSON, []).scope, receive), BodyCaps(tmp_path, idle_s=0.1))

    assert wanted.n == 1


async def test_a_client_that_leaves_in_the_middle_leaves_nothing_open(caps: BodyCaps, fds: Callable[[], int]) -> None:
    before = fds()

    with pytest.raises(ClientDisconnect):
        await read_edit(request_of(MULTIPART, [part("image", b"x" * 600_000)], then="leave"), caps)

    assert fds() == before


async def test_a_cancelled_upload_leaves_nothing_open(caps: BodyCaps, fds: Callable[[], int]) -> None:
    before = fds()
    upload: asyncio.Task[ImageRequest] = asyncio.create_task(
        read_edit(request_of(MULTIPART, [part("image", b"x" * 600_000)], then="stall"), caps)
    )
    await asyncio.sleep(0.01)
    during = fds()

    upload.cancel()

    with pytest.raises(asyncio.CancelledError):
        await upload
    assert during == before + 1
    assert fds() == before


async def test_bad_uploads_large_enough_for_a_file_leave_nothing_open(caps: BodyCaps, fds: Callable[[], int]) -> None:
    before = fds()
    bodies = [form(part("image", b"x" * 600_000)), form(part("image", PNG + bytes(600_000)), part("n", b"99"))]

    for body in bodies:
        for read in (read_edit, read_variation):
            with pytest.raises(GatewayError):
                await read(request_of(MULTIPART, [body]), caps)

    assert fds() == before


async def test_a_spool_that_cannot_be_written_is_storage_full(tmp_path: Path) -> None:
    caps = BodyCaps(tmp_path / "missing")

    with pytest.raises(StorageFull) as refused:
        await read_edit(request_of(MULTIPART, [form(part("image", b"x" * 600_000))]), caps)

    assert refused.value.retryable
