"""Parser of the relay's server-sent events, and their conversion to OpenAI's format."""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from app.core.request import ImageRequest
from app.errors import GatewayError, UpstreamBadPayload
from app.spool import Segments, Slice
from app.upstream.answer import ANSWER_FIELDS, completed_event, partial_event
from app.upstream.classify import Verdict, classify_event_error
from app.upstream.images import Images, read_images
from app.upstream.skeleton import LongString, MalformedAnswer, Skeleton

LINE_BYTES_MAX: Final = 1024
"""Bytes kept of a line that is not data: the name of an event, a comment."""
DATA_LINES_MAX: Final = 1000
_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """Server-sent event: its `event` field, which may be empty, and its data as JSON; None where that is not strict JSON.

    Offsets of long strings in `document` count from the first byte of the event's data; `locate` converts them.
    """

    name: str
    document: Any
    lines: tuple[tuple[int, int], ...] = ()
    """Offsets of each data line: in the data of the event, and in the stream."""
    is_done: bool = False
    """True for `[DONE]`, after which nothing comes."""

    def locate(self, segments: Segments) -> Segments:
        """Convert slices of the event's data into slices of the stream."""
        return [piece if isinstance(piece, bytes) else self._located(piece) for piece in segments]

    def locate_items(self, images: Images) -> Images:
        """Convert the positions of the long strings in `images` into those in the stream."""
        items = [{name: self._located_string(value) for name, value in item.items()} for item in images.items]
        return replace(images, items=items)

    def _located_string(self, value: Any) -> Any:
        if not isinstance(value, LongString):
            return value
        return replace(value, offset=self._located(value.piece).offset)

    def _located(self, piece: Slice) -> Slice:
        in_data, in_stream = next(line for line in reversed(self.lines) if line[0] <= piece.offset)
        return replace(piece, offset=in_stream + piece.offset - in_data)


class EventReader:
    """Incremental parser of server-sent events, for chunks cut anywhere and any line ends.

    Keeps the skeleton of one event in memory. Pictures are not kept: they stay in the spool of the stream.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._line = b""
        self._in_data = False
        self._name = ""
        self._data: Skeleton | None = None
        self._data_bytes = 0
        self._lines: list[tuple[int, int]] = []
        self._at_start = True
        self._skip_line_feed = False

    def feed(self, data: bytes) -> list[Event]:
        """Parse the next bytes and return the events they complete. Never raises."""
        events: list[Event] = []
        for piece in data.splitlines(keepends=True):
            self._offset += len(piece)
            if self._skip_line_feed and piece == b"\n":
                self._skip_line_feed = False
                continue
            content = piece.rstrip(b"\r\n")
            self._skip_line_feed = piece.endswith(b"\r")
            is_whole = len(content) < len(piece)
            self._take(content, self._offset - len(piece) + len(content), is_whole=is_whole)
            if is_whole:
                events += self._end_line()
        return events

    def finish(self) -> list[Event]:
        """Parse the end of the stream and return its last event, which may lack the empty line after it."""
        self._take(b"", self._offset, is_whole=True)
        return (self._end_line() if self._line or self._in_data else []) + self._end_event()

    def _take(self, content: bytes, end: int, *, is_whole: bool) -> None:
        if self._in_data:
            self._feed_data(content)
            return
        self._line += content
        if len(self._line) < len(_BOM) + len(_DATA) + 1 and not is_whole:
            return
        if self._at_start:
            self._at_start, self._line = False, self._line.removeprefix(_BOM)
        if self._line.startswith(_DATA) or (is_whole and self._line == _DATA[:-1]):
            value = self._line[len(_DATA) :].removeprefix(b" ")
            self._begin_data(end - len(value))
            self._feed_data(value)
        self._line = self._line[:LINE_BYTES_MAX]

    def _begin_data(self, offset: int) -> None:
        self._in_data = True
        self._data = self._data or Skeleton()
        if len(self._lines) <= DATA_LINES_MAX:  # One more than allowed marks the event as unreadable.
            if self._lines:
                self._feed_data(b"\n")
            self._lines.append((self._data_bytes, offset))

    def _feed_data(self, value: bytes) -> None:
        if self._data is not None and len(self._lines) <= DATA_LINES_MAX:
            self._data.feed(value)
            self._data_bytes += len(value)

    def _end_line(self) -> list[Event]:
        line, was_data, self._line, self._in_data = self._line, self._in_data, b"", False
        if was_data:
            return []
        if not line:
            return self._end_event()
        field, _, value = line.partition(b":")
        if field == b"event":
            self._name = value.removeprefix(b" ")[:100].decode(errors="replace")
        return []

    def _end_event(self) -> list[Event]:
        events = []
        if self._data is not None:
            document, done = _document(self._data, len(self._lines)), self._data.is_text(_DONE)
            events = [Event(self._name, document, tuple(self._lines), done)]
        self._name, self._data, self._data_bytes, self._lines = "", None, 0, []
        return events


def _document(data: Skeleton, lines: int) -> Any:
    try:
        return data.document() if lines <= DATA_LINES_MAX else None
    except MalformedAnswer:
        return None


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """Event for the client, its pictures as slices of the stream. A `completed` one has its image in `images`, for the books; an
    `error` has its failure in `error`.

    An `error` with `images` was a completed event, so it was charged; these `images` have no items. Without `images` it has the
    verdict on a stream that has sent no image before it.
    """

    kind: Literal["partial", "completed", "error"]
    frame: Segments
    images: Images | None = None
    """Positions of its long strings are those in the stream."""
    error: GatewayError | None = None
    verdict: Verdict | None = None


class EventConverter:
    """Converter of the relay's events to OpenAI's format: every required field, and the event names of the request's operation."""

    def __init__(self, request: ImageRequest, created_s: int):
        self._request = request
        self._created_s = created_s
        self._partials = 0

    def convert(self, event: Event) -> ClientEvent | None:
        """Convert an event for the client; None for one without meaning to a client (unknown, unreadable, `[DONE]`)."""
        document = event.document
        if not isinstance(document, dict):
            return None
        kind = document.get("type")
        name = kind if isinstance(kind, str) else event.name
        if document.get("error") or name == "error":
            return _error_event(document.get("error") or document)
        if name.endswith(".partial_image"):
            return self._partial(document, event)
        return self._completed(document, event) if name.endswith(".completed") else None

    def _partial(self, document: dict[str, Any], event: Event) -> ClientEvent | None:
        read = _read(document)
        if isinstance(read, Verdict) or read.bad_payload:
            return None  # Partial images are optional: drop a broken one rather than fail the request.
        number = document.get("partial_image_index")
        index = number if type(number) is int and number >= 0 else self._partials
        self._partials += 1
        answered = {name: getattr(read, name) for name in ANSWER_FIELDS}
        created_s = read.created or self._created_s
        segments = partial_event(read.items[0], answered, index, self._request.operation, created_s, self._request)
        return ClientEvent("partial", event.locate(segments))

    def _completed(self, document: dict[str, Any], event: Event) -> ClientEvent:
        read = _read(document)
        if isinstance(read, Verdict):
            return ClientEvent("error", [], error=read.error, verdict=read)
        if read.bad_payload:
            message = "The upstream charged for this request, but what it sent is not an image."
            return ClientEvent("error", [], images=read, error=UpstreamBadPayload(message))
        item = read.items[0]
        segments = completed_event(read, item, self._request.operation, self._created_s, self._request, with_usage=True)
        return ClientEvent("completed", event.locate(segments), images=event.locate_items(read))


def _read(document: dict[str, Any]) -> Images | Verdict:
    """Read an event like an answer with one image."""
    return read_images(document | {"data": [document], "created": document.get("created_at")}, 1)


def _error_event(error: Any) -> ClientEvent:
    verdict = classify_event_error(error)
    return ClientEvent("error", [], error=verdict.error, verdict=verdict)
