"""Bodies that are read, and bodies that stop halfway."""

import asyncio
import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from app.api.body import BodyCaps, read_edit, read_generation, read_variation
from app.api.data_urls import DataUrlReader
from app.core.request import ImageRequest
from app.errors import BadRequest, GatewayError, InvalidValue, StorageFull
from app.spool import Spool
from tests.api.bodies import JSON, MIB, MULTIPART, PNG, cut, data_url, edit_json, picture, request_of
from tests.api.test_multipart import form, part


@pytest.fixture
def caps(tmp_path: Path) -> BodyCaps:
    return BodyCaps(tmp_path)


LABELS = [
    ("Application/JSON; charset=UTF-8",),
    ("application/json;charset=utf8",),
    ('application/json; charset="ISO-8859-1"',),
    ("application/vnd.api+json",),
    ("text/plain;charset=UTF-8",),
    ("application/x-www-form-urlencoded",),  # Of `curl -d` and urllib.
    ("multipart/form-data",),
    ("*/*",),
    ("",),
    (),  # As Python's http.client sends it, and with it the relay's own documentation.
    ("application/json", "application/json"),
    ("text/plain", "application/json"),
]


@pytest.mark.parametrize("labels", LABELS, ids=str)
async def test_a_generation_is_read_from_json_whatever_its_label(caps: BodyCaps, labels: tuple[str, ...]) -> None:
    body = json.dumps({"prompt": "a cät", "n": 2, "seed": 7}, ensure_ascii=False).encode()

    wanted = await read_generation(request_of(labels, [b"\xef\xbb\xbf", b"\r\n ", body]), caps)

    assert (wanted.n, wanted.fields["prompt"], wanted.fields["seed"]) == (2, "a cät", 7)


@pytest.mark.parametrize("label", ["application/x-www-form-urlencoded", "text/plain", None])
async def test_an_edit_that_begins_with_a_brace_is_json(caps: BodyCaps, label: str | None) -> None:
    wanted = await read_edit(request_of(() if label is None else (label,), cut(edit_json(), [1, 40])), caps)

    assert (wanted.fields["prompt"], len(wanted.uploads)) == ("a hat", 1)
    wanted.close()


@pytest.mark.parametrize("charset", ["ISO-8859-1", "UTF-8", "utf8", "gbk", "windows-1252"])
async def test_a_text_part_is_read_in_its_own_charset_and_the_form_s_is_ignored(caps: BodyCaps, charset: str) -> None:
    prompt = "帽子" if charset == "gbk" else "ein grüner Hut"
    headers = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n".encode()
    body = form(part("prompt", prompt.encode(charset), headers=headers), part("image", PNG))

    wanted = await read_edit(request_of(f"{MULTIPART}; charset=US-ASCII", [body]), caps)

    assert wanted.fields["prompt"] == prompt
    wanted.close()


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


def test_more_strings_that_begin_like_data_urls_than_anybody_sends_are_refused(tmp_path: Path) -> None:
    reader = DataUrlReader(Spool(tmp_path), rest_bytes_max=1_000_000, file_bytes_max=1_000, files_max=2)

    with pytest.raises(InvalidValue, match="more than 1,000 strings"):
        reader.feed(b'{"a":[' + b'"data:x,",' * 1_001)


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


def test_a_data_url_is_decoded_as_its_pieces_come() -> None:
    """Decoding 60 MB at the end of a body would stop everybody for a second."""
    body = json.dumps({"images": [{"image_url": data_url(bytes(900_000))}]}).encode()
    spool = Spool(Path())
    reader = DataUrlReader(spool, rest_bytes_max=MIB, file_bytes_max=MIB, files_max=1)
    undecoded_bytes = []

    for start in range(0, len(body), 65_536):
        reader.feed(body[start : start + 65_536])
        undecoded_bytes.append(min(start + 65_536, len(body)) - spool.size_bytes * 4 // 3)

    assert max(undecoded_bytes) < 200
    spool.close()


async def test_a_bad_data_url_is_refused_while_the_body_still_comes(caps: BodyCaps) -> None:
    begin = edit_json(images=[{"image_url": "data:image/png;base64,****" + "A" * 100}])[:-40]

    with pytest.raises(InvalidValue):
        await asyncio.wait_for(read_edit(request_of(JSON, [begin], then="stall"), caps), 10)


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
        async with asyncio.timeout(30):
            await read_generation(Request(drip.scope, receive), BodyCaps(tmp_path, idle_s=0.1))

    assert sent > 1


async def test_a_slow_body_that_keeps_moving_is_read(tmp_path: Path) -> None:
    chunks = iter([*[b" " * 20_000] * 8, b'{"prompt": "a"}'])

    async def receive() -> Message:
        await asyncio.sleep(0.4)
        chunk = next(chunks, b"")
        return {"type": "http.request", "body": chunk, "more_body": chunk != b""}

    wanted = await read_generation(Request(request_of(JSON, []).scope, receive), BodyCaps(tmp_path, idle_s=3))

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
    while fds() == before:
        await asyncio.sleep(0)
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
