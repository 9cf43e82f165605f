"""Bringing a request to its booked end, also when the database is away just then."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from app.errors import GatewayError

T = TypeVar("T")
FIRST_PAUSE_S = 0.2
PAUSE_S_MAX = 10.0
log = structlog.get_logger()


async def retry_until_booked(step: Callable[[], Awaitable[T]]) -> T:
    """Repeat a transition until the database has answered. Each is guarded by the state it starts from, so one that had
    gone through unnoticed changes nothing when it is done again."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await step()
        except GatewayError as exc:
            log.warning("the database refuses a booking; trying again", error=exc.code, pause_s=round(pause_s, 1))
        except Exception as exc:  # Whatever it is, giving up would leave money held for ever.
            log.error("a booking fails; trying again", pause_s=round(pause_s, 1), exc_info=exc)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1))
        pause_s = min(pause_s * 2, PAUSE_S_MAX)
