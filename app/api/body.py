"""Reading of request bodies. Bytes are counted while they are read, because Content-Length is only a promise."""

import asyncio
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
from app.errors import BadRequest, BodyTooLarge, InvalidType, StorageFull, UnsupportedMediaType
from app.spool import Spool

PROGRESS_BYTES_MIN = 16 * 1024
"""Bytes that must arrive in every `idle_s` until the body is complete: one byte a second could hold a connection for ever."""
SPOOL_MEMORY_BYTES_MAX = 256 * 1024

JSON = "application/json"
MULTIPART = "multipart/form-data"
CLOSE = {"connection": "close"}


@dataclass(frozen=True, slots=True)
class BodyCaps:
    """Caps of a body. Bytes count as they are received, those of a file after decoding."""

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
    """The body of POST /v1/images/generations.

    Raises the errors of `parameters.generation` and `strict_json.loads`, UnsupportedMediaType, BodyTooLarge, BadRequest
    for a body that stalls, and ClientDisconnect.
    """
    _content_type(request, JSON)
    body = bytearray()
    await _read(request, caps.json_bytes_max, caps.idle_s, body.extend)
    return parameters.generation(_object(bytes(body)))


async def read_json(request: Request, caps: BodyCaps) -> dict[str, Any]:
    """A JSON object of the administration API; no body at all is an empty one. Raises as `read_generation` does."""
    if request.headers.get("content-length") == "0" or not {"content-length", "transfer-encoding"} & {*request.headers}:
        return {}
    _content_type(request, JSON)
    body = bytearray()
    await _read(request, caps.json_bytes_max, caps.idle_s, body.extend)
    return _object(bytes(body)) if body.strip() else {}


async def read_edit(request: Request, caps: BodyCaps) -> ImageRequest:
    """The body of POST /v1/images/edits, multipart or JSON. The caller closes it; after an error nothing is open.

    Raises as `read_generation` does, and what `app.core.uploads.read_uploads` raises, InvalidMultipart, StorageFull.
    """
    content_type, boundary = _content_type(request, MULTIPART, JSON)
    with _new_spool(caps) as spool:
        read_files = {"images_max": caps.files_max, "pixels_max": caps.pixels_max}
        if content_type == JSON:
            reader, asked = await _json_read(request, caps, spool)
            fields, files = reader.take(asked)
            return parameters.edit_json(fields, files, spool, **read_files)
        form = await _form(request, caps, spool, boundary)
        return parameters.edit(form.fields, form.files, spool, **read_files)


async def read_quote(request: Request, caps: BodyCaps) -> ImageRequest:
    """The body of a generation or of an edit: an edit is a form, or JSON that has `images`. As `read_edit`."""
    content_type, boundary = _content_type(request, MULTIPART, JSON)
    with _new_spool(caps) as spool:
        read_files = {"images_max": caps.files_max, "pixels_max": caps.pixels_max}
        if content_type == MULTIPART:
            form = await _form(request, caps, spool, boundary)
            return parameters.edit(form.fields, form.files, spool, **read_files)
        reader, asked = await _json_read(request, caps, spool)
        if "images" not in asked:
            spool.close()
            return parameters.generation(asked)
        fields, files = reader.take(asked)
        return parameters.edit_json(fields, files, spool, **read_files)


async def read_variation(request: Request, caps: BodyCaps) -> ImageRequest:
    """The body of POST /v1/images/variations; as `read_edit`, multipart only."""
    _, boundary = _content_type(request, MULTIPART)
    with _new_spool(caps) as spool:
        form = await _form(request, caps, spool, boundary)
        return parameters.variation(form.fields, form.files, spool, pixels_max=caps.pixels_max)


@contextmanager
def _new_spool(caps: BodyCaps) -> Iterator[Spool]:
    """A spool that an error closes; without one it goes on with the request."""
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
    """A JSON object whose pictures lie in `spool`: the reader knows which was which."""
    reader = DataUrlReader(
        spool,
        rest_bytes_max=caps.json_bytes_max,
        file_bytes_max=caps.file_bytes_max,
        files_max=caps.files_max + 1,  # and a mask
    )
    await _read(request, caps.edit_json_bytes_max, caps.idle_s, reader.feed)
    return reader, _object(reader.finish())


def _object(body: bytes) -> dict[str, Any]:
    value = strict_json.loads(body)
    if not isinstance(value, dict):
        raise InvalidType('The body must be a JSON object: {"prompt": ...}.')
    return value


def _content_type(request: Request, *wanted: str) -> tuple[str, bytes]:
    """Media type of the body, one of `wanted`, and its boundary. Raises UnsupportedMediaType."""
    encoding = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMediaType(f"Content-Encoding {encoding[:32]!r} is not supported; send the body uncompressed.")
    given = request.headers.getlist("content-type")
    if given == [JSON] and JSON in wanted:  # As most clients write it.
        return JSON, b""
    found, options = parse_options_header(given[0]) if len(given) == 1 else (b"", {})
    content_type = found.decode("latin-1")
    if content_type not in wanted:
        raise UnsupportedMediaType(f"Content-Type {content_type[:64]!r} is not supported; send {' or '.join(wanted)}.")
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(f"The charset {charset[:32]!r} is not supported; send UTF-8.")
    return content_type, options.get(b"boundary", b"")


async def _read(request: Request, bytes_max: int, idle_s: float, take: Callable[[bytes], object]) -> None:
    """Hand the body to `take` as it comes. Raises BodyTooLarge, BadRequest when it stalls, ClientDisconnect when the client
    leaves, and whatever `take` does."""
    promised = request.headers.get("content-length", "")
    if promised.isascii() and promised.isdigit() and int(promised[:20]) > bytes_max:
        raise _too_large(bytes_max)
    came = mark = 0
    more = True
    try:
        async with asyncio.timeout(idle_s) as patience:
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                data = message.get("body", b"")
                more = message.get("more_body", False)
                came += len(data)
                if came > bytes_max:
                    raise _too_large(bytes_max)
                if more and came - mark >= PROGRESS_BYTES_MIN:
                    mark = came
                    patience.reschedule(asyncio.get_running_loop().time() + idle_s)
                if data:
                    take(data)
    except TimeoutError as exc:
        if not patience.expired():  # A disk can time out, too.
            raise
        # Not 408: the SDKs would send the same body twice more.
        text = f"The body stalled: less than {PROGRESS_BYTES_MIN:,} bytes came in {idle_s:g} seconds. Send it faster."
        raise BadRequest(text, headers=CLOSE) from exc


def _too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {bytes_max:,} bytes; send a smaller one.", headers=CLOSE)
