"""Heartbeat of this process, and recovery of the requests that dead processes left open."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Container
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import structlog

from app.blobs.folder import BlobUnavailable
from app.core.endings import Outcome, RequestEnded
from app.core.relays import DEFAULT
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
"""Age from which an own reservation without an exchange counts as lost: its caller saw an error although it was committed."""
BUCKET_WAIT_MS = 3_600_000
"""Longest time after its reservation that recovery waits for a bucket that may hold the answer; then it ends as unknown."""
log = structlog.get_logger()


@dataclass(slots=True)
class Heartbeat:
    """Heartbeat of this process in the database. It has a chore of its own: other replicas take a silent process for dead."""

    processes: Processes
    clock: Clock
    ensure_fit: Callable[[], Awaitable[None]]
    """Check the schema of the database; raises while it cannot be used."""
    connected_since_s: float | None = field(default=None, init=False)
    """Monotonic time of the first beat since the last failed one."""
    beat_at_s: float = field(init=False)
    monotonic_s: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.beat_at_s = self.monotonic_s()

    async def beat(self) -> None:
        """Record a heartbeat and set the clock to the database's time. Raises GatewayError and ConfigurationError."""
        try:
            await self.ensure_fit()
            self.clock.set(*await self.processes.beat())
        except BaseException:
            self.connected_since_s = None
            raise
        self.beat_at_s = self.monotonic_s()
        self.connected_since_s = self.connected_since_s or self.beat_at_s

    def age_s(self) -> float:
        """Return the seconds since the last heartbeat, or since the start."""
        return self.monotonic_s() - self.beat_at_s

    def is_long_connected(self) -> bool:
        """Return whether heartbeats have succeeded for SILENT_MS. A replica that was cut off from the database itself must not take
        the others for dead."""
        since_s = self.connected_since_s
        return since_s is not None and self.monotonic_s() - since_s >= SILENT_MS / 1000


@dataclass(slots=True)
class Recovery:
    """Ends open requests of dead processes as released, settled or unknown, and own reservations older than STRAY_MS without an
    exchange as released."""

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
    """Ids of the requests that this process has an exchange for."""

    async def turn(self) -> None:
        """Resolve the requests of dead processes, and delete the rows of processes that ended long ago. Raises GatewayError."""
        await self.resolve_orphans()
        await self.processes.forget_dead()

    async def resolve_orphans(self) -> int:
        """Resolve the open requests of dead processes and own lost reservations; returns how many. Raises GatewayError."""
        dead = self.process_locks.dead_ids()
        orphans = await self.processes.orphans(dead, of_silent=self.heartbeat.is_long_connected())
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
        """Release a request that was never sent, settle one whose complete answer was stored, end any other as unknown.

        Raises BlobUnavailable.
        """
        facts = ExchangeFacts(self.clock.now_ms(), None, None)
        if orphan.state == "reserved":
            unsent = StoreUnavailable(UNSENT)
            if not await self.ledger.release(orphan.id, ending_of(facts, unsent, answered=False), ("reserved",)):
                return "gone on"
            self._notify(orphan, "released", unsent.code)
            return "released"
        settlement = await self._settle(orphan, facts)
        if settlement is not None:
            self._notify(orphan, "settled", settlement.ending.error_code, settlement.cost_micros, settlement.images)
            return "settled"
        if await self.ledger.give_up(orphan.id, ending_of(facts, LOST, answered=False)):
            self._notify(orphan, "unknown", LOST.code)
        return "unknown"

    def _notify(
        self, orphan: StoredRequest, outcome: Outcome, code: str | None, cost_micros: int = 0, images: int = 0
    ) -> None:
        """Notify the listeners of the end of a request whose process has died."""
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
            relay=orphan.relay,
        )
        self.listeners.notify(event)

    async def _settle(self, orphan: StoredRequest, facts: ExchangeFacts) -> Settlement | None:
        request, catalog = request_of(orphan), await self.control_data.catalog()
        model, relay = catalog.models.get(orphan.model), catalog.relays.get(orphan.relay or DEFAULT.name, DEFAULT)
        spool = await self._stored(orphan, facts)
        if spool is None or model is None:
            return None
        try:
            answer = await asyncio.to_thread(read_stored, spool, request, orphan.reserved_at_ms // 1000)
            if answer is None:
                return None
            price = QuotedPrice(model, relay, orphan.reserved_at_ms)
            result = self.kept_answers.stored(spool, facts.at_ms, request, replay_expected=True)
            settlement = settlement_of(price, request, answer.images, facts, self.zone, result, answered=False)
            await self.kept_answers.share(orphan.id, result)
            is_booked = await self.ledger.settle(orphan.id, settlement) is not None
            return settlement if is_booked else None
        finally:
            spool.close()

    async def _stored(self, orphan: StoredRequest, facts: ExchangeFacts) -> Spool | None:
        """Open the stored part of the answer; None when there is none. Raises BlobUnavailable while the bucket does not answer, for
        BUCKET_WAIT_MS at most."""
        try:
            async with asyncio.timeout(BEAT_S):
                return await self.kept_answers.open_incomplete(orphan.id)
        except (BlobUnavailable, TimeoutError) as exc:
            if facts.at_ms - orphan.reserved_at_ms > BUCKET_WAIT_MS:
                return None
            raise BlobUnavailable("The stored answer cannot be fetched right now.") from exc
