"""Minimal HTTP/1.1 for two ends that know each other: a head, a Content-Length, one exchange at a time."""

import re

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Message:
    """Takes one message as it comes; says what its first line was once it is whole."""

    __slots__ = ("_head", "_missing", "body_bytes", "first_line")

    def __init__(self) -> None:
        self.first_line = b""
        self.body_bytes = 0
        self._head = b""
        self._missing = -1

    def takes(self, data: bytes) -> bool:
        """Take a piece; True if the message is complete. Raises ValueError for a message without Content-Length."""
        if self._missing >= 0:
            self._missing -= len(data)
            return self._missing == 0
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self._head[:end]
        self.first_line = head.partition(b"\r\n")[0]
        self.body_bytes = self._length(head)
        self._missing = end + 4 + self.body_bytes - len(self._head)
        return self._missing == 0

    def _length(self, head: bytes) -> int:
        found = _LENGTH.search(head)
        if found is None and not self.first_line.startswith(b"GET "):
            raise ValueError("no Content-Length")
        return int(found[1]) if found else 0
