"""Places of the image requests that one process works on at once."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

from app.errors import Overloaded, RateLimited

BUSY_RETRY_AFTER_S_MAX = 10
"""Longest `Retry-After` of a full gateway. It is random, so that clients refused together do not retry together."""


class Places:
    """Counter of requests: at most `in_flight_max` at once, and at most the part `share` of them for one owner, a user or service
    account.

    A request that is attached to an earlier one takes no place, but one owner has at most a tenth of `in_flight_max` of them.
    `idle` waits for them, too.
    """

    def __init__(self, in_flight_max: int, share: float = 1.0):
        self._max = in_flight_max
        self._owner_max = max(1, ceil(in_flight_max * share))
        self._attached_max = max(1, in_flight_max // 10)
        self._by_owner: Counter[str] = Counter()
        self._attached_by_owner: Counter[str] = Counter()
        self._converting = 0
        self.in_flight = 0
        self.idle = asyncio.Event()
        self.idle.set()

    def take(self, owner: str) -> None:
        """Take a place. Raises Overloaded when all are taken, RateLimited when the owner has its share."""
        if self.in_flight >= self._max:
            message = f"This gateway works on {self._max} images already; nothing was bought. Try again shortly."
            raise Overloaded(message, retry_after_s=_retry_after_s())
        if self._by_owner[owner] >= self._owner_max:
            raise _too_many(
                f"{self._owner_max} requests of yours are in progress, the most that this gateway works on for one owner"
            )
        self.in_flight += 1
        self._by_owner[owner] += 1
        self.idle.clear()

    def free(self, owner: str) -> None:
        self.in_flight -= 1
        self._by_owner[owner] -= 1
        if not self._by_owner[owner]:
            del self._by_owner[owner]
        self._note_idle()

    @property
    def attached(self) -> int:
        """Number of requests that wait for the answer of an earlier one."""
        return self._attached_by_owner.total()

    def attach(self, owner: str) -> None:
        """Count a request that waits for the answer of an earlier one. Raises RateLimited when the owner has too many."""
        if self._attached_by_owner[owner] >= self._attached_max:
            raise _too_many(
                f"{self._attached_max} requests of yours wait for answers that were bought before, the most for one owner"
            )
        self._attached_by_owner[owner] += 1
        self.idle.clear()

    def detach(self, owner: str) -> None:
        self._attached_by_owner[owner] -= 1
        if not self._attached_by_owner[owner]:
            del self._attached_by_owner[owner]
        self._note_idle()

    @contextmanager
    def converting(self) -> Iterator[None]:
        """Count an answer that is being converted."""
        self._converting += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._converting -= 1
            self._note_idle()

    def _note_idle(self) -> None:
        if self.in_flight == 0 and not self.attached and not self._converting:
            self.idle.set()


def _too_many(what: str) -> RateLimited:
    message = f"{what}; nothing was bought. Wait until some of them end."
    return RateLimited(message, type="in_flight", retry_after_s=_retry_after_s())


def _retry_after_s() -> int:
    return random.randint(1, BUSY_RETRY_AFTER_S_MAX)
