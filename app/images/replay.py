"""Replay of an earlier request: wait for it while it runs, then read its stored answer. Nothing is bought here."""

import asyncio
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from app.core.grants import Grant
from app.core.request import ImageRequest
from app.core.retry import RepeatHeaders
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

POLL_S = 0.25
POLL_S_MAX = 2.0
STUCK = (
    "The request this one repeats has not ended in all the time it may take. It may be charged, so do not send it again; an "
    "administrator can look it up."
)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Replay:
    """Replay of earlier requests. `running` holds the exchanges of this process by request id; for those of other replicas the
    database is polled."""

    originals: StoredRequests
    retries: Retries
    kept_answers: KeptAnswers
    clock: Clock
    wait_s: float
    """Longest wait for an end, longer than any exchange lasts: a request that has not ended by then is stuck."""
    running: MutableMapping[str, "asyncio.Task[BookedAnswer]"] = field(default_factory=dict)
    _pollers: "dict[str, asyncio.Task[StoredRequest | None]]" = field(default_factory=dict, init=False)

    async def original(self, grant: Grant, retry: RepeatHeaders, fingerprint: bytes) -> str | None:
        """Find the id of the request that this one repeats; None for a new request. Raises IdempotencyKeyReuse."""
        if retry.idempotency_key is not None:
            found = await self.originals.by_idempotency_key(grant.key_id, retry.idempotency_key)
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

    async def answer(self, request_id: str, request: ImageRequest | None = None) -> BookedAnswer:
        """Wait for the end of a request and read its stored answer. Raises the error it ended with, and ResultExpired when the
        answer is not kept any more.

        `request` is the repetition, which decides the form of the answer.
        """
        original = await self._ended(request_id)
        if original.error is not None:
            raise error_from_record(original.error)
        if original.state != "settled":
            raise InternalError("The outcome of this request was not recorded; an administrator can look it up.")
        rebuilt = request_of(original)
        answer = await self._reread(original, request or rebuilt)
        if answer is None:
            raise ResultExpired(
                f"The result of {request_id} is not kept any more; it was paid for, and is not bought again."
            )
        return answer.booked(original.cost_micros or 0, None, rebuilt.answer_format)

    async def _reread(self, original: StoredRequest, request: ImageRequest) -> CompleteAnswer | None:
        spool = await self.kept_answers.load(original.id, self.clock.now_ms())
        if spool is None:
            return None
        answer = await asyncio.to_thread(read_stored, spool, request, original.reserved_at_ms // 1000)
        if answer is None:
            spool.close()
        return answer

    async def find_for_key(self, grant: Grant, request_id: str) -> StoredRequest:
        """Find a request of this API key. Raises NotFound for an absent one and for one of another key."""
        found = await self.originals.find(request_id)
        if found is None or found.api_key_id != grant.key_id:
            raise NotFound("There is no such request of this API key.")
        return found

    async def _ended(self, request_id: str) -> StoredRequest:
        """Wait for the end of a request: on its task if it runs in this process, then on one poller for all waiting clients."""
        if (task := self.running.get(request_id)) is not None:
            await asyncio.wait({task}, timeout=self.wait_s)
        poller = self._pollers.get(request_id)
        if poller is None:
            poller = self._pollers[request_id] = asyncio.create_task(self._poll(request_id))
            poller.add_done_callback(lambda _: self._pollers.pop(request_id, None))
        # Unlike awaiting the poller, this does not cancel it when one client is cancelled.
        await asyncio.wait({poller})
        original = poller.result()
        if original is None:
            raise UpstreamOutcomeUnknown(STUCK)
        return original

    async def _poll(self, request_id: str) -> StoredRequest | None:
        """Poll the database until the request has ended. Return None when it is stuck."""
        pause_s, ends_s = POLL_S, time.monotonic() + self.wait_s
        while time.monotonic() < ends_s:
            with suppress(StoreUnavailable):
                original = await self.originals.find(request_id)
                if original is not None and original.ended:
                    return original
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, POLL_S_MAX)
        return None


def request_of(original: StoredRequest) -> ImageRequest:
    """Rebuild a request from its row, with the fields that its price and the form of its answer depend on."""
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
        response_format=original.response_format,
        asked_model=original.asked_model,
        fields={name: value for name, value in named.items() if value is not None},
    )


class DeliveryNotes:
    """Marks of answers that were delivered completely. They do not affect money, so they are written in batches, a little
    later."""

    def __init__(self, retries: Retries, clock: Clock):
        self._retries = retries
        self._clock = clock
        self._waiting: set[str] = set()
        self._wake = asyncio.Event()

    def add(self, request_id: str) -> None:
        self._waiting.add(request_id)
        self._wake.set()

    async def turn(self) -> None:
        """Wait for a note, then write all. Raises StoreUnavailable; the notes are kept then."""
        await self._wake.wait()
        await asyncio.sleep(POLL_S)
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
