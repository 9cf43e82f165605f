"""Reader of what comes before the body of an answer, which decides how the body is read."""

import re
from typing import Final, Literal

_BLANK: Final = re.compile(rb"[ \t\r\n\xef\xbb\xbf]*")
_LINE_END: Final = re.compile(rb"[\r\n]")


class Preamble:
    """Incremental reader of the byte order mark, the blank lines and the heartbeats (`: OPENROUTER PROCESSING`) before a body.

    `kind` is that of the body by its first byte, whatever its Content-Type says: an object of JSON, a page, or anything else,
    such as events; None before the first byte. `skipped_bytes` counts what came before it.
    """

    def __init__(self) -> None:
        self.kind: Literal["json", "page", "other"] | None = None
        self.skipped_bytes = 0
        self._in_heartbeat = False

    def feed(self, data: bytes) -> bytes:
        """Read the next bytes of the answer and return those that belong to its body."""
        at = 0
        while self.kind is None and at < len(data):
            if self._in_heartbeat:
                end = _LINE_END.search(data, at)
                self._in_heartbeat, at = end is None, len(data) if end is None else end.end()
                continue
            at = _BLANK.match(data, at).end()  # type: ignore[union-attr]  # it matches nothing, too
            if (first := data[at : at + 1]) == b":":
                self._in_heartbeat = True
            elif first:
                self.kind = "json" if first == b"{" else "page" if first == b"<" else "other"
        self.skipped_bytes += at
        return data[at:]
