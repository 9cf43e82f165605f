"""What a client of a stream is sent, while the exchange runs on its own."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from app.errors import GatewayError
from app.images.booking import BookedAnswer
from app.images.channel import Channel
from app.images.client_deadline import ClientDeadline
from app.spool import segments_chunks

KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b": still working\n\n"


async def client_events(
    task: "asyncio.Task[BookedAnswer]", patience: ClientDeadline, channel: Channel
) -> AsyncGenerator[bytes]:
    """What a client of a stream is sent, with a comment every 15 s while nothing comes: proxies cut a silent one.

    Raises the GatewayError the exchange ended with, and TimeoutError once the patience is over before that.
    """
    event = asyncio.ensure_future(channel.receive())
    try:
        while not (task.done() and not event.done()):
            ends: set[asyncio.Future[Any]] = {patience.over, event}  # It is over when the exchange is.
            await asyncio.wait(ends, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if event.done():
                yield event.result()
                event = asyncio.ensure_future(channel.receive())
                await asyncio.sleep(0)  # Let it take what waits already, before the end of the exchange is looked at.
            elif not patience.over.done():
                yield KEEP_ALIVE
            if patience.over.done() and not task.done():
                raise TimeoutError
        if isinstance(error := task.exception(), GatewayError):
            raise error.copy()
        bought = task.result()
        try:
            for chunk in segments_chunks(bought.segments, bought.spool):
                yield chunk
        finally:
            bought.spool.close()
    finally:
        event.cancel()
        channel.leave()
