"""Bytes of pictures for browsers: one picture or thumbnail, and several as a ZIP."""

import io
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zipfile import ZIP_STORED, ZipFile, ZipInfo
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.core.browsers import PICTURE_POLICY
from app.errors import GatewayError
from app.pictures.library import PictureLibrary
from app.spool import Spool, whole
from app.store.pictures import PictureRecord

PLACEHOLDER = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 160" fill="none" stroke="#7f8a94" stroke-width="2" opacity=".6">'
    b'<rect x="62" y="66" width="36" height="28" rx="3"/><path d="m63 91 12-13 10 12 5-5 7 7"/></svg>'
)


@dataclass(frozen=True, slots=True)
class BrowserPicture:
    """File of a picture as browsers get it. They ask each time whether they still may show it, as with the API without a link, so
    that nothing is shown from a cache that was deleted or made private again."""

    id: str
    name: str
    media_type: str
    is_download: bool = False

    @property
    def headers(self) -> dict[str, str]:
        return {
            "etag": f'"{self.id}"',
            "cache-control": "private, no-cache",
            "content-disposition": f'{"attachment" if self.is_download else "inline"}; filename="{self.name}"',
            "content-security-policy": PICTURE_POLICY,
        }

    def is_known(self, request: Request) -> bool:
        """True when the browser has this file."""
        return self.headers["etag"] in request.headers.get("if-none-match", "")

    def unchanged(self) -> Response:
        """Answer that the browser has this file."""
        return Response(None, 304, self.headers)

    def answer(self, spool: Spool) -> Response:
        """Answer with the bytes in a spool, which is closed then."""
        return StreamingResponse(
            _closing(spool), 200, self.headers | {"content-length": str(spool.size_bytes)}, self.media_type
        )


def placeholder() -> Response:
    """Answer with a calm drawing in place of a picture that cannot be shown now."""
    return Response(PLACEHOLDER, 200, {"cache-control": "no-store"}, "image/svg+xml")


def file_name(record: PictureRecord, zone: ZoneInfo) -> str:
    """Return the name of a picture as a file: its day in the zone, its model and its id."""
    model = re.sub(r"[^A-Za-z0-9.-]+", "-", record.model).strip(".-")
    kind = re.sub(r"[^a-z]", "", record.media_type.removeprefix("image/"))
    return f"{_made(record, zone):%Y-%m-%d}_{model}_{record.id}.{kind.replace('jpeg', 'jpg')}"


async def zipped(library: PictureLibrary, records: Sequence[PictureRecord], zone: ZoneInfo) -> AsyncIterator[bytes]:
    """Yield a ZIP of pictures as they came, not compressed, a chunk at a time. Those whose bytes cannot be read are named in
    `missing.txt`."""
    sink, missing = _Sink(), []
    with ZipFile(sink, "w", ZIP_STORED) as archive:
        for record in records:
            try:
                spool = await library.open(record)
            except GatewayError as exc:
                missing.append(f"{record.id}: {exc.message}\n")
                continue
            entry = ZipInfo(file_name(record, zone), _made(record, zone).timetuple()[:6])
            entry.file_size = record.bytes
            try:
                with archive.open(entry, "w") as target:
                    for chunk in whole(spool):
                        target.write(chunk)
                        yield sink.take()
            finally:
                spool.close()
        if missing:
            archive.writestr("missing.txt", "".join(missing))
    yield sink.take()


class _Sink(io.RawIOBase):
    """File that is only written, and whose bytes are taken out as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview") -> int:  # type: ignore[override]  # RawIOBase takes any buffer
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


def _made(record: PictureRecord, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(record.created_at_ms // 1000, UTC).astimezone(zone)


def _closing(spool: Spool) -> Iterator[bytes]:
    try:
        yield from whole(spool)
    finally:
        spool.close()
