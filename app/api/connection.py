"""Connection of a client: it reads the ASGI message that reports a disconnect."""

import asyncio

from starlette.requests import Request
from starlette.types import Receive


class ClientConnection:
    """Watch for the disconnect of a client. Create it once the body was read, because nothing else may call `receive` then.

    Its task ends at the latest when the answer has been sent: the server sends the message then, too.
    """

    def __init__(self, request: Request):
        self._closed = asyncio.create_task(_disconnected(request.receive))

    @property
    def is_closed(self) -> bool:
        return self._closed.done()

    async def has_closed(self) -> bool:
        """Return `is_closed` after one turn of the event loop, in which the server can report the disconnect."""
        await asyncio.sleep(0)
        return self.is_closed


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
