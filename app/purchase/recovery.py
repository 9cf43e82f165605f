"""Finishing what dead processes left behind, and showing that this one lives."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import structlog

from app.core.request import ImageRequest
from app.errors import ConfigurationError, GatewayError
from app.purchase.booking import Answered, Basis, Told, ended, settled
from app.purchase.clock import Clock
from app.purchase.reading import sound
from app.purchase.results import Results
from app.spool import Spool, whole
from app.store.control_data import ControlData
from app.store.processes import BEAT_S, SILENT_MS, Orphan, Processes
from app.store.purchases import Purchases
from app.upstream.skeleton import Skeleton

LOST = "process_lost"
"""The error code of rows whose process died: there was nobody left to answer."""
log = structlog.get_logger()


@dataclass(slots=True)
class Recovery:
    """Beats every 10 s and resolves orphans. Of others' silence it judges only after 30 s of unbroken contact of its own:
    a replica that was cut off itself would take everybody else for dead."""

    processes: Processes
    purchases: Purchases
    results: Results
    control_data: ControlData
    clock: Clock
    zone: ZoneInfo
    ensure_fit: Callable[[], Awaitable[None]]
    """Asked at every turn before anything else: raises while the database may not be used."""
    _contact_since_s: float | None = field(default=None, init=False)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.turn()
            await asyncio.sleep(BEAT_S)

    async def turn(self) -> bool:
        """One beat, and what can be recovered now. False when the database could not be used."""
        try:
            await self.ensure_fit()
            self.clock.set(await self.processes.beat())
            now_s = time.monotonic()
            self._contact_since_s = self._contact_since_s or now_s
            if self.processes.database.is_sqlite or now_s - self._contact_since_s >= SILENT_MS / 1000:
                await self.resolve_orphans()
            self.results.prune()
        except (GatewayError, ConfigurationError) as exc:
            self._contact_since_s = None
            log.warning("the database cannot be used", reason=str(exc))
            return False
        return True

    async def resolve_orphans(self) -> int:
        """How many rows of dead processes have come to their end."""
        orphans = await self.processes.orphans()
        for orphan in orphans:
            outcome = await self._resolve(orphan)
            log.warning(
                "recovered a request of a dead process", request_id=orphan.id, was=orphan.state, outcome=outcome
            )
        return len(orphans)

    async def _resolve(self, orphan: Orphan) -> str:
        """Never sent: released. Sent: settled if the whole answer is there, else unknown."""
        told = Told(self.clock.now_ms(), None, None)
        lost = ended(told, http_status=None, error_code=LOST)
        if orphan.state == "reserved" and await self.purchases.release(orphan.id, lost, ("reserved",)):
            return "released"
        if await self._settle(orphan, told):
            return "settled"
        await self.purchases.give_up(orphan.id, lost)
        return "unknown"

    async def _settle(self, orphan: Orphan, told: Told) -> bool:
        wanted, model = _asked(orphan), (await self.control_data.catalog()).models.get(orphan.model)
        spool = self.results.open(orphan.id)
        if spool is None or model is None:
            return False
        try:
            answered = await asyncio.to_thread(_reread, spool, wanted, orphan.reserved_at_ms // 1000)
            if answered is None:
                return False
            basis = Basis(model, orphan.reserved_at_ms, orphan.quote_micros)
            settlement = settled(basis, wanted, answered.images, told, self.zone)
            return await self.purchases.settle(orphan.id, settlement) is not None
        finally:
            spool.close()


def _reread(spool: Spool, wanted: ImageRequest, created_s: int) -> Answered | None:
    """A file that is there proves nothing: it may have been cut."""
    skeleton = Skeleton()
    for chunk in whole(spool):
        skeleton.feed(chunk)
    answered = sound(skeleton, spool, wanted, created_s)
    return answered if isinstance(answered, Answered) else None


def _asked(orphan: Orphan) -> ImageRequest:
    """The facts of the request its row still knows: all that its price depends on."""
    return ImageRequest(
        operation=orphan.operation,
        model=orphan.model,
        n=orphan.n,
        size=orphan.size,
        quality=orphan.quality,
        stream=orphan.stream,
        partial_images=0,
        prompt_chars=0,
        fields={},
    )
