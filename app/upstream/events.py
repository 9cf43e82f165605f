"""Reads the relay's server-sent events as they pass, and gives each OpenAI's shape."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from app.core.request import ImageRequest
from app.errors import GatewayError, UpstreamBadPayload, UpstreamOutcomeUnknown
from app.spool import Segments, Slice
from app.upstream.answer import ANSWER_FIELDS, completed_event, partial_event
from app.upstream.classify import Verdict, error_text
from app.upstream.images import Images, read_images
from app.upstream.skeleton import MalformedAnswer, Skeleton

LINE_BYTES_MAX: Final = 1024
"""Bytes held of a line that is no data: the name of an event, a comment."""
DATA_LINES_MAX: Final = 1000
_DATA: Final = b"data:"
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event: its `event` field, perhaps empty, and its data read as JSON; None where that is not strict JSON.

    Long strings of `document` count from the first byte of the event's data; `locate` finds them in the stream.
    """

    name: str
    document: Any
    lines: tuple[tuple[int, int], ...] = ()
    """Where each data line begins: in the data of the event, and in the stream."""

    def locate(self, segments: Segments) -> Segments:
        """Make slices of the event's data into slices of the stream."""
        return [piece if isinstance(piece, bytes) else self._located(piece) for piece in segments]

    def _located(self, piece: Slice) -> Slice:
        in_data, in_stream = next(line for line in reversed(self.lines) if line[0] <= piece.offset)
        return Slice(in_stream + piece.offset - in_data, piece.length)


class EventReader:
    """Feed it the bytes of a stream, cut anywhere, with any line ends; it gives the events that became whole.

    Holds the skeleton of one event: pictures pass through, and stay where the stream is spooled.
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
        """Take the next bytes. Never raises."""
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
        """Take the end of the stream: an event that lacks only the empty line after it counts."""
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
            events = [Event(self._name, _document(self._data, len(self._lines)), tuple(self._lines))]
        self._name, self._data, self._data_bytes, self._lines = "", None, 0, []
        return events


def _document(data: Skeleton, lines: int) -> Any:
    try:
        return data.document() if lines <= DATA_LINES_MAX else None
    except MalformedAnswer:
        return None


@dataclass(frozen=True, slots=True)
class Shaped:
    """An event as we send it, its pictures as slices of the stream. `completed` carries its one image's facts, for the books;
    `error` the failure it tells.

    An `error` with `images` is a completed event that was charged and is no image; without, nobody knows.
    """

    kind: Literal["partial", "completed", "error"]
    frame: Segments
    images: Images | None = None
    error: GatewayError | None = None


class EventShaper:
    """Gives the relay's events for one request OpenAI's shape: every required field, the request's own event names."""

    def __init__(self, request: ImageRequest, created_s: int):
        self._request = request
        self._created_s = created_s
        self._partials = 0

    def shape(self, event: Event) -> Shaped | None:
        """Shape an event to send on; None for one that says nothing to a client (unknown, unreadable, `[DONE]`)."""
        document = event.document
        if not isinstance(document, dict):
            return None
        kind = document.get("type")
        name = kind if isinstance(kind, str) else event.name
        if document.get("error") or name == "error":
            return _failed(document.get("error") or document)
        if name.endswith(".partial_image"):
            return self._partial(document, event)
        return self._completed(document, event) if name.endswith(".completed") else None

    def _partial(self, document: dict[str, Any], event: Event) -> Shaped | None:
        read = _read(document)
        if isinstance(read, Verdict) or read.bad_payload:
            return None  # A picture on its way is a courtesy: a broken one is not worth a failure.
        number = document.get("partial_image_index")
        index = number if type(number) is int and number >= 0 else self._partials
        self._partials += 1
        facts = {name: getattr(read, name) for name in ANSWER_FIELDS}
        created_s = read.created or self._created_s
        segments = partial_event(read.items[0], facts, index, self._request.operation, created_s, self._request)
        return Shaped("partial", event.locate(segments))

    def _completed(self, document: dict[str, Any], event: Event) -> Shaped:
        read = _read(document)
        if isinstance(read, Verdict):
            return Shaped("error", [], error=read.error)
        if read.bad_payload:
            message = "The upstream charged for this request, but what it sent is not an image."
            return Shaped("error", [], images=read, error=UpstreamBadPayload(message))
        item = read.items[0]
        segments = completed_event(read, item, self._request.operation, self._created_s, self._request, counted=True)
        return Shaped("completed", event.locate(segments), images=read)


def _read(document: dict[str, Any]) -> Images | Verdict:
    """An event reads like an answer with one image."""
    return read_images(document | {"data": [document], "created": document.get("created_at")}, 1)


def _failed(error: Any) -> Shaped:
    text = error_text(error)
    message = (
        f"The upstream reported an error in its stream: {text or 'no reason given'}. It may have charged the request."
    )
    return Shaped("error", [], error=UpstreamOutcomeUnknown(message))
