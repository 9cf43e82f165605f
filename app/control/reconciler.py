"""Reconciliation with all relays in the background of a gateway: one replica at a time, not more than once in five minutes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from app.control.reconciliation import ReconciliationReport
from app.control.reconciliations import Reconciliations, missing_of
from app.core.money import decimal_text
from app.store.reconciliation import may_run

PAUSE_MS = 300_000
log = structlog.get_logger()


@dataclass(slots=True)
class Reconciler:
    """Chore that runs a reconciliation when it is this replica's turn."""

    reconciliations: Reconciliations
    _missing: list[str] = field(default_factory=list, init=False)

    async def turn(self) -> list[ReconciliationReport] | None:
        """Reconcile once with each relay. None when any replica did so less than PAUSE_MS ago. Raises GatewayError."""
        if not await may_run(self.reconciliations.database, PAUSE_MS):
            return None
        reports = await self.reconciliations.run()
        self._log_missing(missing_of(reports))
        for report in reports:
            log_report(report)
        return reports

    def _log_missing(self, missing: Sequence[str]) -> None:
        if missing != self._missing:  # Logged once, not at every turn.
            self._missing = list(missing)
            log.info("accounts of the relay that cannot be read", missing=self._missing)


def log_report(report: ReconciliationReport) -> None:
    """Log the steps of a report and its alarms."""
    for step in report.steps:
        log.warning(
            "reconciled a request",
            request_id=step.request_id,
            relay=step.relay,
            action=step.action,
            cost=decimal_text(step.cost_micros),
        )
    for day in report.alarms:
        booked, billed = decimal_text(day.booked_micros), decimal_text(day.billed_micros)
        message = "the book and the relay's bill are more than 1 % apart"
        log.error(message, relay=day.relay, day=day.day, booked=booked, billed=billed)
