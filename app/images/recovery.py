"""Heartbeats of this process, and the recovery of what dead ones left behind."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import structlog

from app.blobs.folder import BlobUnavailable
from app.core.endings import Outcome, RequestEnded
from app.errors import GatewayError, StoreUnavailable, UpstreamOutcomeUnknown
from app.images.answers import KeptAnswers, read_stored
from app.images.booking import ExchangeFacts, Listeners, QuotedPrice, ending_of, settlement_of
from app.images.replay import request_of
from app.spool import Spool
from app.store.clock import Clock
from app.store.control_data import ControlData
from app.store.ledger.columns import Settlement
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
    listeners: Listeners
    running: Container[str]
    """The requests this process has an exchange for."""

    async def turn(self) -> None:
        """Resolve what can be resolved now, and forget processes that are long gone. Raises GatewayError."""
        await self.resolve_orphans()
        await self.processes.forget_dead()

    async def resolve_orphans(self) -> int:
        """Bring rows of dead processes to their end; returns how many."""
        dead = self.process_locks.dead_ids()
        orphans = await self.processes.orphans(dead, of_silent=self.heartbeat.has_long_contact())
        strays = await self.processes.unsent_reservations(self.clock.now_ms() - STRAY_MS)
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
        if orphan.state == "reserved":
            unsent = StoreUnavailable(UNSENT)
            if not await self.ledger.release(orphan.id, ending_of(facts, unsent, answered=False), ("reserved",)):
                return "gone on"
            self._tell(orphan, "released", unsent.code)
            return "released"
        settlement = await self._settle(orphan, facts)
        if settlement is not None:
            self._tell(orphan, "settled", settlement.ending.error_code, settlement.cost_micros, settlement.images)
            return "settled"
        if await self.ledger.give_up(orphan.id, ending_of(facts, LOST, answered=False)):
            self._tell(orphan, "unknown", LOST.code)
        return "unknown"

    def _tell(
        self, orphan: StoredRequest, outcome: Outcome, code: str | None, cost_micros: int = 0, images: int = 0
    ) -> None:
        """Tell of the end of a request whose process has died."""
        event = RequestEnded(
            request_id=orphan.id,
            api_key_id=orphan.api_key_id,
            user_id=None,
            project_id=None,
            operation=orphan.operation,
            model=orphan.model,
            outcome=outcome,
            code=code,
            cost_micros=cost_micros,
            images=images,
            total_ms=self.clock.now_ms() - orphan.reserved_at_ms,
            relay_ms=0,
        )
        self.listeners.tell(event)

    async def _settle(self, orphan: StoredRequest, facts: ExchangeFacts) -> Settlement | None:
        request, model = request_of(orphan), (await self.control_data.catalog()).models.get(orphan.model)
        spool = await self._stored(orphan, facts)
        if spool is None or model is None:
            return None
        try:
            answer = await asyncio.to_thread(read_stored, spool, request, orphan.reserved_at_ms // 1000)
            if answer is None:
                return None
            price = QuotedPrice(model, orphan.reserved_at_ms, orphan.quote_micros)
            result = self.kept_answers.stored(spool, facts.at_ms, expected=True)
            settlement = settlement_of(price, request, answer.images, facts, self.zone, result, answered=False)
            await self.kept_answers.share(orphan.id, result)
            is_booked = await self.ledger.settle(orphan.id, settlement) is not None
            return settlement if is_booked else None
        finally:
            spool.close()

    async def _stored(self, orphan: StoredRequest, facts: ExchangeFacts) -> Spool | None:
        """Open what there is of its answer. Raises BlobUnavailable while that cannot be told, for BUCKET_WAIT_MS."""
        try:
            async with asyncio.timeout(BEAT_S):
                return await self.kept_answers.reread(orphan.id)
        except (BlobUnavailable, TimeoutError) as exc:
            if facts.at_ms - orphan.reserved_at_ms > BUCKET_WAIT_MS:
                return None
            raise BlobUnavailable("The stored answer cannot be fetched right now.") from exc
