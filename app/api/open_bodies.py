"""Bounds on the bodies of image requests that have not arrived whole, for each key and for the process.

A body is read before limits speak, because it may be the retry of an image that is paid for. So bodies have a bound of their own.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.types import Message

from app.api.body import CLOSE
from app.errors import RateLimited

USED_UP_S = 60.0
"""Seconds for which a key is taken to have nothing left after a refusal for a used-up quota."""
USED_UP_BODIES = 2


class OpenBodies:
    """Bounds: at most `bodies_max` open bodies with `bytes_max` bytes. One key may have a tenth of the bodies and a quarter of the
    bytes, and always one body of `upload_bytes_max`; once its limits are used up, two bodies with that many bytes."""

    def __init__(self, *, bodies_max: int, bytes_max: int, upload_bytes_max: int):
        self._bodies_max = bodies_max
        self._bytes_max = max(bytes_max, upload_bytes_max)
        self._key_bodies_max = max(bodies_max // 10, 1)
        self._upload_bytes_max = upload_bytes_max
        self._bodies: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._used_up_until_s: dict[str, float] = {}

    @contextmanager
    def reading(self, request: Request, key_id: str) -> Iterator[Request]:
        """Give a request whose body is counted while the context is open. Raises RateLimited, at once or while the body is read."""
        bodies_max, bytes_max = self._bounds(key_id)
        if self._bodies[key_id] >= bodies_max:
            raise _too_many(f"{bodies_max} bodies of this API key are being read", "key")
        if self._bodies.total() >= self._bodies_max:
            raise _too_many(f"{self._bodies_max} bodies are being read", "gateway")
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await request.receive()
            arrived = len(message.get("body", b""))
            received += arrived
            self._bytes[key_id] += arrived
            if message.get("more_body", False):  # The last piece is let through: the body is read.
                if self._bytes[key_id] > bytes_max:
                    raise _too_many(f"{bytes_max:,} bytes of unfinished bodies came with this API key", "key")
                if self._bytes.total() > self._bytes_max:
                    raise _too_many(f"{self._bytes_max:,} bytes of unfinished bodies are here", "gateway")
            return message

        self._bodies[key_id] += 1
        try:
            yield Request(request.scope, counted)
        finally:
            self._bodies[key_id] -= 1
            self._bytes[key_id] -= received
            if not self._bodies[key_id]:
                del self._bodies[key_id], self._bytes[key_id]

    def note_used_up(self, key_id: str, seconds: float) -> None:
        """Note that a request of this key was refused because a limit is used up, for `seconds` at least."""
        self._used_up_until_s[key_id] = time.monotonic() + seconds

    def _bounds(self, key_id: str) -> tuple[int, int]:
        if self._used_up_until_s.get(key_id, 0.0) > time.monotonic():
            return USED_UP_BODIES, self._upload_bytes_max
        return self._key_bodies_max, max(self._bytes_max // 4, self._upload_bytes_max)


def _too_many(what: str, whose: str) -> RateLimited:
    return RateLimited(
        f"{what}, the most for one {whose}; nothing was bought. Send fewer at once, and try again.",
        headers=CLOSE,
        retry_after_s=1,
    )
