"""Events on their way to a client that may be slow, or leave at any time."""

import asyncio

EVENTS_MAX = 2
SLOW_CLIENT_S = 60.0


class Channel:
    """From an exchange to one client. The exchange never waits for a client that has left."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[bytes] = asyncio.Queue(EVENTS_MAX)
        self._left = False

    async def send(self, frame: bytes) -> None:
        """Hand an event over. A client that takes none for a minute counts as gone."""
        if self._left:
            return
        try:
            async with asyncio.timeout(SLOW_CLIENT_S):
                await self._events.put(frame)
        except TimeoutError:
            self.leave()

    async def receive(self) -> bytes:
        """The next event."""
        return await self._events.get()

    def leave(self) -> None:
        """Nobody listens any more. Idempotent."""
        self._left = True
        while not self._events.empty():
            self._events.get_nowait()
