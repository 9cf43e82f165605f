"""Reconciliation in the background of a gateway: one replica at a time, not more than once in five minutes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from app.control.reconciliation import Reconciliation, Report
from app.core.money import decimal_text
from app.errors import ConfigurationError, GatewayError
from app.store.reconciliation import may_run

PAUSE_MS = 300_000
FIRST_LOOK_S = 60.0
LOOK_S = 30.0
log = structlog.get_logger()


@dataclass(slots=True)
class Reconciler:
    """Looks every 30 s whether it is its turn. What it cannot do now it does later; nothing of it raises."""

    reconciliation: Reconciliation
    ensure_fit: Callable[[], Awaitable[None]]
    """Raises while the database may not be used."""
    _missing: tuple[str, ...] = field(default=(), init=False)

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(FIRST_LOOK_S)
        while True:
            try:
                await self.turn()
            except (GatewayError, ConfigurationError) as exc:
                log.warning("reconciliation has to wait", reason=str(exc))
            except Exception:
                log.exception("reconciliation failed")
            await asyncio.sleep(LOOK_S)

    async def turn(self) -> Report | None:
        """One run; None when another replica has had this turn, or it is too soon."""
        await self.ensure_fit()
        if not await may_run(self.reconciliation.database, PAUSE_MS):
            return None
        report = await self.reconciliation.run()
        self._tell(report)
        return report

    def _tell(self, report: Report) -> None:
        if report.accounts.missing != self._missing:  # A relay that tells nothing is said once.
            self._missing = report.accounts.missing
            log.info("what the relay tells of its accounts has changed", missing=list(self._missing))
        tell(report)


def tell(report: Report) -> None:
    """What was done and what alarms, as log lines."""
    for step in report.steps:
        log.warning(
            "reconciled a request", request_id=step.request_id, action=step.action, cost=decimal_text(step.cost_micros)
        )
    for day in report.alarms:
        booked, billed = decimal_text(day.booked_micros), decimal_text(day.billed_micros)
        log.error("the book and the relay's bill are more than 1 % apart", day=day.day, booked=booked, billed=billed)
