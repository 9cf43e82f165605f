"""Reads the relay's server-sent events as they pass, and gives each OpenAI's shape."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from app.core.request import ImageRequest
from app.errors import GatewayError, UpstreamBadPayload, UpstreamOutcomeUnknown
from app.spool import Segments
from app.upstream.answer import ANSWER_FIELDS, completed_event, partial_event
from app.upstream.classify import Verdict, error_text
from app.upstream.images import Images, read_images
from app.upstream.skeleton import MalformedAnswer, Skeleton

EVENT_BYTES_MAX: Final = 64 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event: its `event` field, perhaps empty, and its data lines joined by line feeds."""

    name: str
    data: bytes

    @property
    def is_done(self) -> bool:
        """`[DONE]`, which closes a stream in OpenAI's older manner."""
        return self.data.strip() == b"[DONE]"


class EventReader:
    """Feed it the bytes of a stream, cut anywhere, with any line ends; it gives the events that became whole.

    Holds one event at a time. One above EVENT_BYTES_MAX, and everything after it, is dropped: then `overflowed` is true.
    """

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self.overflowed = False
        self._event_bytes_max = event_bytes_max
        self._line: list[bytes] = []
        self._name = ""
        self._data: list[bytes] = []
        self._held_bytes = 0
        self._at_start = True
        self._skip_line_feed = False

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes. Never raises."""
        if self._skip_line_feed and data:
            data = data.removeprefix(b"\n")
            self._skip_line_feed = False
        events: list[Event] = []
        for line in data.splitlines(keepends=True):
            self._hold(line)
            if self.overflowed:
                break
            if line.endswith((b"\n", b"\r")):
                events += self._end_line()
        self._skip_line_feed = data.endswith(b"\r") or (self._skip_line_feed and not data)
        return events

    def finish(self) -> list[Event]:
        """The stream ended as it should: an event that lacks only the empty line after it counts."""
        events = self._end_line() if self._line else []
        return [] if self.overflowed else events + self._end_event()

    def _hold(self, piece: bytes) -> None:
        self._line.append(piece)
        self._held_bytes += len(piece)
        if self._held_bytes > self._event_bytes_max:
            self.overflowed = True
            self._line, self._data = [], []

    def _end_line(self) -> list[Event]:
        line = b"".join(self._line).rstrip(b"\r\n")
        self._line = []
        if self._at_start:
            self._at_start, line = False, line.removeprefix(_BOM)
        if not line:
            return self._end_event()
        if line.startswith(b":"):
            self._held_bytes = sum(map(len, self._data))  # A comment: an idle stream may send them for ever.
            return []
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value[:100].decode(errors="replace")
        return []

    def _end_event(self) -> list[Event]:
        events = [Event(self._name, b"\n".join(self._data))] if self._data else []
        self._name, self._data, self._held_bytes = "", [], 0
        return events


@dataclass(frozen=True, slots=True)
class Shaped:
    """An event as we send it. `completed` carries its one image's facts, for the books; `error` the failure it tells.

    An `error` with `images` is a completed event that was charged and is no image; without, nobody knows.
    """

    kind: Literal["partial", "completed", "error"]
    frame: bytes
    images: Images | None = None
    error: GatewayError | None = None


class EventShaper:
    """Gives the relay's events for one request OpenAI's shape: every required field, the request's own event names."""

    def __init__(self, request: ImageRequest, created_s: int):
        self._request = request
        self._created_s = created_s
        self._partials = 0

    def shape(self, event: Event) -> Shaped | None:
        """The event to send on; None for one that says nothing to a client (unknown, unreadable, `[DONE]`)."""
        document = _parsed(event.data)
        if document is None:
            return None
        kind = document.get("type")
        name = kind if isinstance(kind, str) else event.name
        if document.get("error") or name == "error":
            return _failed(document.get("error") or document)
        if name.endswith(".partial_image"):
            return self._partial(document, event.data)
        return self._completed(document, event.data) if name.endswith(".completed") else None

    def _partial(self, document: dict[str, Any], data: bytes) -> Shaped | None:
        read = _read(document)
        if isinstance(read, Verdict) or read.bad_payload:
            return None  # A picture on its way is a courtesy: a broken one is not worth a failure.
        told = document.get("partial_image_index")
        index = told if type(told) is int and told >= 0 else self._partials
        self._partials += 1
        facts = {name: getattr(read, name) for name in ANSWER_FIELDS}
        created_s = read.created or self._created_s
        segments = partial_event(read.items[0], facts, index, self._request.operation, created_s, self._request)
        return Shaped("partial", _joined(segments, data))

    def _completed(self, document: dict[str, Any], data: bytes) -> Shaped:
        read = _read(document)
        if isinstance(read, Verdict):
            return Shaped("error", b"", error=read.error)
        if read.bad_payload:
            message = "The upstream charged for this request, but what it sent is not an image."
            return Shaped("error", b"", images=read, error=UpstreamBadPayload(message))
        item = read.items[0]
        segments = completed_event(read, item, self._request.operation, self._created_s, self._request, counted=True)
        return Shaped("completed", _joined(segments, data), images=read)


def _parsed(data: bytes) -> dict[str, Any] | None:
    skeleton = Skeleton()
    skeleton.feed(data)
    try:
        document = skeleton.document()
    except MalformedAnswer:
        return None
    return document if isinstance(document, dict) else None


def _read(document: dict[str, Any]) -> Images | Verdict:
    """An event reads like an answer with one image."""
    return read_images(document | {"data": [document], "created": document.get("created_at")}, 1)


def _failed(error: Any) -> Shaped:
    text = error_text(error)
    message = (
        f"The upstream reported an error in its stream: {text or 'no reason given'}. It may have charged the request."
    )
    return Shaped("error", b"", error=UpstreamOutcomeUnknown(message))


def _joined(segments: Segments, data: bytes) -> bytes:
    return b"".join(
        piece if isinstance(piece, bytes) else data[piece.offset : piece.offset + piece.length] for piece in segments
    )
