"""Request bodies, JSON or multipart, and the record of each request."""

import hashlib
import json
from dataclasses import dataclass, field

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from .records import SeenFile, SeenRequest

KEPT_BODY_BYTES = 64 * 1024
FORM_PART_BYTES_MAX = 4 * 1024 * 1024
FORM_PARTS_MAX = 1000


@dataclass(frozen=True, slots=True)
class RequestBody:
    """Parsed body of a request. `fields` are JSON values or form texts; `readable` is false if it could not be parsed."""

    multipart: bool
    readable: bool
    fields: dict[str, object] = field(default_factory=dict)
    files: tuple[SeenFile, ...] = ()
    raw: bytes = b""

    def texts(self) -> dict[str, str]:
        return {
            name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            for name, value in self.fields.items()
        }


async def read_body(request: Request) -> RequestBody:
    """Read the whole body; a malformed one is returned with `readable` false."""
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _read_form(request)
    raw = await request.body()
    try:
        document = json.loads(raw)
    except ValueError:
        return RequestBody(False, readable=False, raw=raw[:KEPT_BODY_BYTES])
    if not isinstance(document, dict):
        return RequestBody(False, readable=False, raw=raw[:KEPT_BODY_BYTES])
    given = {name: value for name, value in document.items() if value is not None}
    return RequestBody(False, readable=True, fields=given, raw=raw[:KEPT_BODY_BYTES])


async def _read_form(request: Request) -> RequestBody:
    try:
        form = await request.form(
            max_files=FORM_PARTS_MAX, max_fields=FORM_PARTS_MAX, max_part_size=FORM_PART_BYTES_MAX
        )
    except (HTTPException, MultiPartException):
        return RequestBody(True, readable=False)
    try:
        return RequestBody(True, readable=True, fields=_texts(form), files=await _files(form))
    finally:
        await form.close()


def _texts(form: FormData) -> dict[str, object]:
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


async def _files(form: FormData) -> tuple[SeenFile, ...]:
    return tuple([await _seen_file(name, part) for name, part in form.multi_items() if isinstance(part, UploadFile)])


async def _seen_file(name: str, part: UploadFile) -> SeenFile:
    content = await part.read()
    digest = hashlib.sha256(content).hexdigest()
    return SeenFile(name, part.filename or "", part.content_type or "", len(content), digest)


def seen_request(request: Request, request_id: str, body: RequestBody | None = None) -> SeenRequest:
    return SeenRequest(
        request_id=request_id,
        method=request.method,
        path=request.url.path,
        query=request.url.query,
        headers=dict(request.headers),
        fields=body.texts() if body else {},
        files=body.files if body else (),
        body=body.raw if body else b"",
    )
