"""Readers of request bodies. They count the bytes while they read, because Content-Length may be absent or wrong."""

import asyncio
import codecs
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from app.api.data_urls import DataUrlReader
from app.api.multipart import FormReader
from app.core import parameters, strict_json
from app.core.request import ImageRequest
from app.core.uploads import UploadedForm
from app.errors import BadRequest, BodyTooLarge, InvalidType, StorageFull, UnsupportedMediaType
from app.spool import Spool

PROGRESS_BYTES_MIN = 16 * 1024
"""Bytes that must arrive within each `idle_s`, so that a client sending a byte a second cannot hold a connection for ever."""
SPOOL_MEMORY_BYTES_MAX = 256 * 1024

Feed = Callable[[bytes], object]

JSON = "application/json"
MULTIPART = "multipart/form-data"
_JSON_LABEL = re.compile(r"\s*(?:application|text)/(?:[\w.-]+\+)?json\b", re.IGNORECASE)
CLOSE = {"connection": "close"}


@dataclass(frozen=True, slots=True)
class BodyCaps:
    """Limits on a body. Bytes count as received, those of a file after decoding; `idle_s` is in seconds."""

    spool_directory: Path
    json_bytes_max: int = 1024 * 1024
    edit_json_bytes_max: int = 64 * 1024 * 1024
    multipart_bytes_max: int = 64 * 1024 * 1024
    file_bytes_max: int = 10_000_000
    files_max: int = 16
    fields_max: int = 64
    pixels_max: int = 50_000_000
    idle_s: float = 30.0


async def read_generation(request: Request, caps: BodyCaps) -> ImageRequest:
    """Read the body of POST /v1/images/generations.

    Raises the errors of `parameters.generation` and `strict_json.loads`, UnsupportedMediaType, BodyTooLarge, BadRequest
    for a body that stalls, and ClientDisconnect.
    """
    return parameters.generation(_object(await _json_body(request, caps)))


async def read_json(request: Request, caps: BodyCaps) -> dict[str, Any]:
    """Read a JSON object for the administration API; an absent body is an empty object. Raises as `read_generation` does."""
    if request.headers.get("content-length") == "0" or not {"content-length", "transfer-encoding"} & {*request.headers}:
        return {}
    body = await _json_body(request, caps)
    return _object(body) if body.strip() else {}


async def read_edit(request: Request, caps: BodyCaps) -> ImageRequest:
    """Read the body of POST /v1/images/edits, multipart or JSON. The caller closes the request; after an error nothing is open.

    Raises as `read_generation` does, and what `app.core.uploads.read_uploads` raises, InvalidMultipart, StorageFull.
    """
    with _new_spool(caps) as spool:
        return await _edit(request, caps, spool)


async def read_quote(request: Request, caps: BodyCaps) -> ImageRequest:
    """Read the body of a generation or an edit: an edit is a form, or JSON with `images`. Raises as `read_edit` does."""
    with _new_spool(caps) as spool:
        return await _edit(request, caps, spool, or_generation=True)


async def read_upload_form(request: Request, caps: BodyCaps) -> UploadedForm:
    """Read a multipart form, whatever its fields are. The caller closes its spool; after an error nothing is open. Raises as
    `read_edit` does."""
    boundary = _boundary(request)
    if boundary is None:
        raise _unsupported(request, MULTIPART)
    with _new_spool(caps) as spool:
        form = await _form(request, caps, spool, boundary)
        return UploadedForm(form.fields, form.files, spool, caps.pixels_max)


async def read_variation(request: Request, caps: BodyCaps) -> ImageRequest:
    """Read the body of POST /v1/images/variations, multipart only. Raises as `read_edit` does."""
    boundary = _boundary(request)
    if boundary is None:
        raise _unsupported(request, MULTIPART)
    with _new_spool(caps) as spool:
        form = await _form(request, caps, spool, boundary)
        return parameters.variation(form.fields, form.files, spool, pixels_max=caps.pixels_max)


async def _edit(request: Request, caps: BodyCaps, spool: Spool, *, or_generation: bool = False) -> ImageRequest:
    """Read an edit into the spool; with `or_generation` JSON without `images` is one, and the spool is closed."""
    read_files = {"images_max": caps.files_max, "pixels_max": caps.pixels_max}
    boundary = _boundary(request)
    if boundary is not None:
        form = await _form(request, caps, spool, boundary)
        return parameters.edit(form.fields, form.files, spool, **read_files)
    reader, document = await _json_read(request, caps, spool)
    if or_generation and "images" not in document:
        spool.close()
        return parameters.generation(document)
    fields, files = reader.extract_files(document)
    return parameters.edit_json(fields, files, spool, **read_files)


@contextmanager
def _new_spool(caps: BodyCaps) -> Iterator[Spool]:
    """Make a spool that is closed on an error; otherwise the request owns it."""
    spool = Spool(caps.spool_directory, memory_bytes_max=SPOOL_MEMORY_BYTES_MAX)
    try:
        yield spool
    except OSError as exc:
        spool.close()
        raise StorageFull("The gateway cannot store the upload right now; try again soon.", headers=CLOSE) from exc
    except BaseException:
        spool.close()
        raise


async def _form(request: Request, caps: BodyCaps, spool: Spool, boundary: bytes) -> FormReader:
    form = FormReader(
        boundary,
        spool,
        file_bytes_max=caps.file_bytes_max,
        files_max=caps.files_max,
        fields_max=caps.fields_max,
    )
    await _read(request, caps.multipart_bytes_max, caps.idle_s, form.feed)
    form.finish()
    return form


async def _json_read(request: Request, caps: BodyCaps, spool: Spool) -> tuple[DataUrlReader, dict[str, Any]]:
    """Read a JSON object and decode its data URLs to `spool`; returns the reader that knows the files, and the object."""
    reader = DataUrlReader(
        spool,
        rest_bytes_max=caps.json_bytes_max,
        file_bytes_max=caps.file_bytes_max,
        files_max=caps.files_max + 1,  # and a mask
    )
    feed = _json_only(request, reader.feed, MULTIPART, JSON)
    await _read(request, caps.edit_json_bytes_max, caps.idle_s, feed)
    return reader, _object(reader.finish())


async def _json_body(request: Request, caps: BodyCaps) -> bytes:
    body = bytearray()
    await _read(request, caps.json_bytes_max, caps.idle_s, _json_only(request, body.extend, JSON))
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    value = strict_json.loads(body)
    if not isinstance(value, dict):
        raise InvalidType('The body must be a JSON object: {"prompt": ...}.')
    return value


def _boundary(request: Request) -> bytes | None:
    """Return the boundary of a multipart form; None when no Content-Type names one. The form's charset is ignored."""
    for content_type in _content_types(request):
        media_type, options = parse_options_header(content_type)
        if media_type == MULTIPART.encode():
            return options.get(b"boundary", b"")
    return None


def _json_only(request: Request, feed: Feed, *accepted: str) -> Feed:
    """Wrap `feed` so that a body which is neither labelled JSON nor begins with `{` raises UnsupportedMediaType.

    The label alone decides nothing: many clients send JSON without one, as a form or as text/plain, and the relay takes it.
    """
    content_types = _content_types(request)
    if any(_JSON_LABEL.match(label) for label in content_types) or (not content_types and MULTIPART not in accepted):
        return feed
    has_begun = False

    def checked_feed(data: bytes) -> None:
        nonlocal has_begun
        if not has_begun:
            start = data.removeprefix(codecs.BOM_UTF8).lstrip()
            if start and not start.startswith(b"{"):
                raise _unsupported(request, *accepted)
            has_begun = bool(start)
        feed(data)

    return checked_feed


def _content_types(request: Request) -> list[str]:
    return [label for label in request.headers.getlist("content-type") if label.strip()]


def _check_encoding(request: Request) -> None:
    encoding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if any(coding.strip() not in ("", "identity") for coding in encoding.split(",")):
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:32]!r} is not supported; send the body uncompressed.")


def _unsupported(request: Request, *accepted: str) -> UnsupportedMediaType:
    label = ", ".join(_content_types(request))
    text = f"Content-Type {label[:64]!r} is not supported here, and the body is no JSON object; send {' or '.join(accepted)}."
    return UnsupportedMediaType(text)


async def _read(request: Request, bytes_max: int, idle_s: float, feed: Feed) -> None:
    """Pass each piece of the body to `feed`. Raises BodyTooLarge, BadRequest when it stalls, ClientDisconnect when the client
    leaves, and the errors of `feed`."""
    _check_encoding(request)
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > bytes_max:
        raise _too_large(bytes_max)
    received = progress = 0
    more = True
    try:
        async with asyncio.timeout(idle_s) as timeout:
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                data = message.get("body", b"")
                more = message.get("more_body", False)
                received += len(data)
                if received > bytes_max:
                    raise _too_large(bytes_max)
                if more and received - progress >= PROGRESS_BYTES_MIN:
                    progress = received
                    timeout.reschedule(asyncio.get_running_loop().time() + idle_s)
                if data:
                    feed(data)
    except TimeoutError as exc:
        if not timeout.expired():  # TimeoutError of the disk.
            raise
        # Status 400, not 408: the SDKs retry a 408 and would send the same body twice more.
        text = f"The body stalled: less than {PROGRESS_BYTES_MIN:,} bytes came in {idle_s:g} seconds. Send it faster."
        raise BadRequest(text, headers=CLOSE) from exc


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {bytes_max:,} bytes; send a smaller one.", headers=CLOSE)
