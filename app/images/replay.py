"""The same request again: attach to it while it runs, or replay what came of it. Nothing is bought here."""

import asyncio
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.core.grants import Grant
from app.core.request import ImageRequest
from app.core.retry import Retry
from app.errors import (
    IdempotencyKeyReuse,
    InternalError,
    NotFound,
    ResultExpired,
    StoreUnavailable,
    UpstreamOutcomeUnknown,
    error_from_record,
)
from app.images.answers import KeptAnswers, read_stored
from app.images.booking import BookedAnswer, CompleteAnswer
from app.store.clock import Clock
from app.store.ledger.retries import Retries
from app.store.requests import StoredRequest, StoredRequests

LOOK_S = 0.25
LOOK_S_MAX = 2.0
STUCK = (
    "The request this one repeats has not ended in all the time it may take. It may be charged, so do not send it again; an "
    "administrator can look it up."
)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Replay:
    """`running` holds the exchanges of this process by request id; those of other replicas are watched in the database."""

    originals: StoredRequests
    retries: Retries
    kept_answers: KeptAnswers
    clock: Clock
    wait_s: float
    """Longer than any exchange lasts: what has not ended by then is stuck."""
    running: MutableMapping[str, "asyncio.Task[BookedAnswer]"] = field(default_factory=dict)

    async def original(self, grant: Grant, retry: Retry, fingerprint: bytes) -> str | None:
        """The id of the request this one repeats; None when it is a new one. Raises IdempotencyKeyReuse."""
        if retry.key is not None:
            found = await self.originals.keyed(grant.key_id, retry.key)
            if found is not None and found.fingerprint != fingerprint:
                raise IdempotencyKeyReuse(
                    "This Idempotency-Key was used with another request: use a new key for a new request, and the same "
                    "parameters with the same key.",
                    param="Idempotency-Key",
                )
            return None if found is None else found.id
        if retry.count == 0:
            return None
        return await self.retries.adopt(grant.key_id, fingerprint, retry.count, self.clock.now_ms())

    async def answer(self, request_id: str, wanted: ImageRequest | None = None) -> BookedAnswer:
        """What came of a request, once it has ended: its images, or the error it ended with, raised.

        Raises ResultExpired when it was bought and is not kept any more. `wanted` is the request as it is asked now.
        """
        original = await self._ended(request_id)
        if original.error is not None:
            raise error_from_record(original.error)
        if original.state != "settled":
            raise InternalError("The outcome of this request was not recorded; an administrator can look it up.")
        answered = await self._reread(original, wanted or request_of(original))
        if answered is None:
            raise ResultExpired(
                f"The result of {request_id} is not kept any more; it was paid for, and is not bought again."
            )
        return BookedAnswer(answered.segments, answered.spool, original.cost_micros or 0, None)

    async def _reread(self, original: StoredRequest, wanted: ImageRequest) -> CompleteAnswer | None:
        spool = await self.kept_answers.load(original.id, self.clock.now_ms())
        if spool is None:
            return None
        answered = await asyncio.to_thread(read_stored, spool, wanted, original.reserved_at_ms // 1000)
        if answered is None:
            spool.close()
        return answered

    async def of_owner(self, grant: Grant, request_id: str) -> StoredRequest:
        """A request of this very key. Raises NotFound for any other, as for one that does not exist."""
        found = await self.originals.find(request_id)
        if found is None or found.api_key_id != grant.key_id:
            raise NotFound("There is no such request of this API key.")
        return found

    async def _ended(self, request_id: str) -> StoredRequest:
        pause_s, ends_s = LOOK_S, time.monotonic() + self.wait_s
        while time.monotonic() < ends_s:
            if (task := self.running.get(request_id)) is not None:
                await asyncio.wait({task}, timeout=self.wait_s)
            try:
                original = await self.originals.find(request_id)
            except StoreUnavailable:
                original = None
            if original is not None and original.ended:
                return original
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LOOK_S_MAX)
        raise UpstreamOutcomeUnknown(STUCK)


def request_of(original: StoredRequest) -> ImageRequest:
    """The facts of a request its row still knows: all that its price and the shape of its answer depend on."""
    named: dict[str, Any] = {"size": original.size, "quality": original.quality}
    return ImageRequest(
        operation=original.operation,
        model=original.model,
        n=original.n,
        size=original.size,
        quality=original.quality,
        stream=original.stream,
        partial_images=0,
        prompt_chars=0,
        fields={name: value for name, value in named.items() if value is not None},
    )


class DeliveryNotes:
    """Notes of answers that were handed over to the end. They are written together and a little later: they decide nothing
    about money."""

    def __init__(self, retries: Retries, clock: Clock):
        self._retries = retries
        self._clock = clock
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()

    def add(self, request_id: str) -> None:
        self._waiting.add(request_id)
        self._wake.set()

    async def turn(self) -> None:
        """Wait for notes, then write all that have come by then. Raises StoreUnavailable; the notes are kept then."""
        await self._wake.wait()
        await asyncio.sleep(LOOK_S)
        await self.write()

    async def write(self) -> None:
        """Write all notes now. Raises StoreUnavailable; the notes are kept then."""
        self._wake.clear()
        noted, self._waiting = self._waiting, set()
        if not noted:
            return
        try:
            await self._retries.delivered(sorted(noted), self._clock.now_ms())
        except BaseException:
            self._waiting |= noted
            self._wake.set()
            raise
