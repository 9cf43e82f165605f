"""Heartbeats of this process, and the recovery of what dead ones left behind."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import structlog

from app.blobs.folder import BlobUnavailable
from app.errors import GatewayError, StoreUnavailable, UpstreamOutcomeUnknown
from app.images.answers import KeptAnswers, read_stored
from app.images.booking import ExchangeFacts, QuotedPrice, ending_of, settlement_of
from app.images.replay import request_of
from app.spool import Spool
from app.store.clock import Clock
from app.store.control_data import ControlData
from app.store.ledger.types import Ledger
from app.store.lock import ProcessLocks
from app.store.processes import BEAT_S, SILENT_MS, Processes
from app.store.requests import StoredRequest

UNSENT = "The gateway process that had taken this request on ended before it was sent; nothing was bought. Try again."
LOST = UpstreamOutcomeUnknown(
    "The gateway process that had sent this request ended before its answer was stored. The image may have been charged, so do "
    "not send the request again; an administrator can look it up."
)
STRAY_MS = 60_000
BUCKET_WAIT_MS = 3_600_000
"""Longest time after its reservation that a request waits for a bucket that may hold its answer, before it is unknown."""
log = structlog.get_logger()


@dataclass(slots=True)
class Heartbeat:
    """Beats of this process, by the database's time. Nothing else runs in its chore: without beats other replicas would take
    this process for dead."""

    processes: Processes
    clock: Clock
    ensure_fit: Callable[[], Awaitable[None]]
    """Raises while the database may not be used."""
    contact_since_s: float | None = field(default=None, init=False)
    """Monotonic time of the first beat of the present unbroken contact."""
    beat_at_s: float = field(default_factory=time.monotonic, init=False)

    async def beat(self) -> None:
        """Record one beat and set the clock. Raises GatewayError and ConfigurationError while the database cannot be used."""
        try:
            await self.ensure_fit()
            self.clock.set(*await self.processes.beat())
        except BaseException:
            self.contact_since_s = None
            raise
        self.beat_at_s = time.monotonic()
        self.contact_since_s = self.contact_since_s or self.beat_at_s

    def age_s(self) -> float:
        """Seconds since the last beat, or since the start."""
        return time.monotonic() - self.beat_at_s

    def has_long_contact(self) -> bool:
        """Tell whether contact lasts long enough to judge the silence of others: a replica that was cut off itself would take
        everybody else for dead."""
        since_s = self.contact_since_s
        return since_s is not None and time.monotonic() - since_s >= SILENT_MS / 1000


@dataclass(slots=True)
class Recovery:
    """Resolves the requests of dead processes."""

    processes: Processes
    ledger: Ledger
    kept_answers: KeptAnswers
    control_data: ControlData
    clock: Clock
    zone: ZoneInfo
    process_locks: ProcessLocks
    heartbeat: Heartbeat
    running: Container[str]
    """The requests this process has an exchange for."""

    async def turn(self) -> None:
        """Resolve what can be resolved now, and forget processes that are long gone. Raises GatewayError."""
        await self.resolve_orphans()
        await self.processes.forget_dead()

    async def resolve_orphans(self) -> int:
        """Bring rows of dead processes to their end; returns how many."""
        dead = self.process_locks.dead()
        orphans = await self.processes.orphans(dead, of_silent=self.heartbeat.has_long_contact())
        strays = await self.processes.strays(self.clock.now_ms() - STRAY_MS)
        orphans += [stray for stray in strays if stray.id not in self.running]
        waiting = 0
        for orphan in orphans:
            if waiting and orphan.state != "reserved":
                waiting += 1
                continue
            try:
                outcome = await self._resolve(orphan)
            except BlobUnavailable:
                waiting += 1
                continue
            except GatewayError:
                raise
            except Exception as exc:  # One that cannot be resolved must not keep the others waiting.
                log.error("a request of a dead process cannot be recovered", request_id=orphan.id, exc_info=exc)
                dead = []
                continue
            log.warning(
                "recovered a request of a dead process", request_id=orphan.id, was=orphan.state, outcome=outcome
            )
        if waiting:
            log.warning("requests of a dead process wait for the bucket with their answers", requests=waiting)
        else:
            self.process_locks.forget(dead)
        return len(orphans) - waiting

    async def _resolve(self, orphan: StoredRequest) -> str:
        """Release a request that was never sent; settle it if its whole answer is there; else unknown. Raises BlobUnavailable."""
        facts = ExchangeFacts(self.clock.now_ms(), None, None)
        unsent, unknown = (
            ending_of(facts, StoreUnavailable(UNSENT), answered=False),
            ending_of(facts, LOST, answered=False),
        )
        if orphan.state == "reserved":
            return "released" if await self.ledger.release(orphan.id, unsent, ("reserved",)) else "gone on"
        if await self._settle(orphan, facts):
            return "settled"
        await self.ledger.give_up(orphan.id, unknown)
        return "unknown"

    async def _settle(self, orphan: StoredRequest, facts: ExchangeFacts) -> bool:
        wanted, model = request_of(orphan), (await self.control_data.catalog()).models.get(orphan.model)
        spool = await self._stored(orphan, facts)
        if spool is None or model is None:
            return False
        try:
            answered = await asyncio.to_thread(read_stored, spool, wanted, orphan.reserved_at_ms // 1000)
            if answered is None:
                return False
            price = QuotedPrice(model, orphan.reserved_at_ms, orphan.quote_micros)
            result = self.kept_answers.stored(spool, facts.at_ms, expected=True)
            settlement = settlement_of(price, wanted, answered.images, facts, self.zone, result, answered=False)
            await self.kept_answers.share(orphan.id, result)
            return await self.ledger.settle(orphan.id, settlement) is not None
        finally:
            spool.close()

    async def _stored(self, orphan: StoredRequest, facts: ExchangeFacts) -> Spool | None:
        """What there is of its answer. Raises BlobUnavailable while that cannot be facts, for BUCKET_WAIT_MS."""
        try:
            async with asyncio.timeout(BEAT_S):
                return await self.kept_answers.reread(orphan.id)
        except (BlobUnavailable, TimeoutError) as exc:
            if facts.at_ms - orphan.reserved_at_ms > BUCKET_WAIT_MS:
                return None
            raise BlobUnavailable("The stored answer cannot be fetched right now.") from exc
