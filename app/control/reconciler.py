"""Reconciliation in the background of a gateway: one replica at a time, not more than once in five minutes."""

from dataclasses import dataclass, field

import structlog

from app.control.reconciliation import Reconciliation, ReconciliationReport
from app.core.money import decimal_text
from app.store.reconciliation import may_run

PAUSE_MS = 300_000
log = structlog.get_logger()


@dataclass(slots=True)
class Reconciler:
    """Chore that runs a reconciliation when it is this replica's turn."""

    reconciliation: Reconciliation
    _missing: tuple[str, ...] = field(default=(), init=False)

    async def turn(self) -> ReconciliationReport | None:
        """Reconcile once. None when any replica did so less than PAUSE_MS ago. Raises GatewayError."""
        if not await may_run(self.reconciliation.database, PAUSE_MS):
            return None
        report = await self.reconciliation.run()
        self._log(report)
        return report

    def _log(self, report: ReconciliationReport) -> None:
        if report.accounts.missing != self._missing:  # Logged once, not at every turn.
            self._missing = report.accounts.missing
            log.info("accounts of the relay that cannot be read", missing=list(self._missing))
        log_report(report)


def log_report(report: ReconciliationReport) -> None:
    """Log the steps of a report and its alarms."""
    for step in report.steps:
        log.warning(
            "reconciled a request", request_id=step.request_id, action=step.action, cost=decimal_text(step.cost_micros)
        )
    for day in report.alarms:
        booked, billed = decimal_text(day.booked_micros), decimal_text(day.billed_micros)
        log.error("the book and the relay's bill are more than 1 % apart", day=day.day, booked=booked, billed=billed)
