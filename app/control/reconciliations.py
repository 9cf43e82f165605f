"""Reconciliation with every relay: each is asked for its own bills, and judged by nothing else."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import structlog

from app.control import drift
from app.control.assessment import REACH_MS
from app.control.bill_reader import BillReader
from app.control.drift import DriftDay
from app.control.reconciliation import Reconciliation, ReconciliationReport
from app.core.relays import Relay
from app.core.request import DEFAULT_RELAY
from app.store import reconciliation as store
from app.store import relays as relay_rows
from app.store.engine import Database
from app.store.ledger.types import Ledger
from app.store.unresolved import sum_unresolved

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reconciliations:
    """Reconciliation of the book with all relays."""

    database: Database
    ledger: Ledger
    bills: BillReader
    zone: ZoneInfo

    def of(self, relay: Relay) -> Reconciliation:
        return Reconciliation(self.database, self.ledger, self.zone, self.bills.rules_of(relay), relay)

    async def relays(self) -> list[Relay]:
        """List the relays whose bills are compared: those in use, those that have open requests, and those that were in use during
        the last REACH_MS; one without a key is left out. Raises StoreUnavailable."""
        now_ms = await self.database.now_ms()
        open_at = {each.relay for each in await sum_unresolved(self.database)}
        async with self.database.read() as connection:
            every = (await relay_rows.list_relays(connection)).values()
        return [
            relay
            for relay in every
            if (relay.name == DEFAULT_RELAY or relay.sealed_key is not None)
            and (relay.is_in_use or relay.name in open_at or _left_use_ms(relay) > now_ms - REACH_MS)
        ]

    async def run(self, *, dry_run: bool = False, every_day: bool = False) -> list[ReconciliationReport]:
        """Reconcile with each relay once; arguments as of `Reconciliation.run`. The report of a relay lists what it did not show.

        An error at one relay is raised after the others are done. Raises StoreUnavailable or StorageFull.
        """
        relays = await self.relays()
        bills = await asyncio.gather(*(self.bills.read(relay) for relay in relays))
        reports, errors = list[ReconciliationReport](), list[Exception]()
        for relay, bill in zip(relays, bills, strict=True):
            try:
                reports.append(await self.of(relay).run(bill, dry_run=dry_run, every_day=every_day))
            except Exception as exc:
                log.error("the reconciliation with a relay failed", relay=relay.name, error=str(exc))
                errors.append(exc)
        if errors:
            raise errors[0]
        return reports

    async def drift_by_day(self, now_ms: int) -> list[DriftDay]:
        """Read the drift of the newest measured days at every relay, newest first. Raises StoreUnavailable."""
        rows = await self.database.ask(store.drift_rows, None, drift.DAYS)
        return drift.by_day(rows, self.zone, self.bills.rules, now_ms)


def _left_use_ms(relay: Relay) -> int:
    return max(relay.disabled_at_ms or 0, relay.removed_at_ms or 0)


def missing_of(reports: Sequence[ReconciliationReport]) -> list[str]:
    """List the accounts that could not be read, and why. Those of a relay other than the default one begin with its name."""
    return [_named(report.relay, why) for report in reports for why in report.accounts.missing]


def _named(relay: str, why: str) -> str:
    return why if relay == DEFAULT_RELAY else f"{relay}: {why}"
