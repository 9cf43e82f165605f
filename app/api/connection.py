"""The connection of one client, by the ASGI message that says it has closed."""

import asyncio

from starlette.requests import Request
from starlette.types import Receive


class ClientConnection:
    """Watches for a client that hangs up. Create it once the body of its request was read: nothing else may call `receive` then.

    The server ends the watch itself, at the latest once the answer has been sent.
    """

    def __init__(self, request: Request):
        self._closed = asyncio.create_task(_disconnected(request.receive))

    @property
    def is_closed(self) -> bool:
        return self._closed.done()

    async def has_closed(self) -> bool:
        """`is_closed`, after a turn of the event loop in which the server could tell."""
        await asyncio.sleep(0)
        return self.is_closed


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
