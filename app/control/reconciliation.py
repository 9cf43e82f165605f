"""Reconciliation of our book with the relay's bill: ends unknown requests on proof, corrects charges that differ, and measures
the drift between the two by day."""

from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from app.control import drift
from app.control.assessment import Assessment, Assessor, ChargedRequest, StillUnknown, possible_quotes
from app.control.decisions import DecisionReason, Decisions
from app.control.drift import DriftDay
from app.control.matching import MatchingRules
from app.core.catalog import Catalog
from app.core.relays import Relay
from app.store import prices
from app.store import reconciliation as store
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.corrections import Correction
from app.store.ledger.types import Ledger
from app.store.reconciliation import DriftRow, MatchedCharge, SentRow
from app.upstream.billing import RelayBilling

ACTOR = "reconciliation"
Action = Literal["settle", "release", "correct_short", "correct_late"]


@dataclass(frozen=True, slots=True)
class ReconciliationStep:
    """Booking made by a reconciliation, or that would be made. `cost_micros` is what it adds to the book, `billed_micros`
    what the relay's log says, null for a release."""

    relay: str
    request_id: str
    model: str
    action: Action
    cost_micros: int
    billed_micros: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """Result of a run with the relay of this name. `days` and `drift` are newest first; `alarms` are the closed days on which book
    and bill have become more than a hundredth apart."""

    relay: str
    dry_run: bool
    accounts: RelayBilling
    steps: tuple[ReconciliationStep, ...]
    open: tuple[StillUnknown, ...]
    days: tuple[DriftDay, ...]
    drift: tuple[DriftRow, ...]
    alarms: tuple[DriftDay, ...]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Reconciles the book with one relay. Two runs at once are harmless: every step is guarded by the request's state, and a
    charge proves one request only."""

    database: Database
    ledger: Ledger
    zone: ZoneInfo
    rules: MatchingRules
    relay: Relay
    """Requests that were sent to another relay are left alone."""

    async def run(
        self, accounts: RelayBilling, *, dry_run: bool = False, every_day: bool = False
    ) -> ReconciliationReport:
        """Reconcile once with the relay's bills; the report lists what they do not show. Raises StoreUnavailable or StorageFull.

        `every_day` measures days again that were closed when last measured.
        """
        name = self.relay.name
        now_ms = await self.database.now_ms()
        assessment = await Assessor(self.database, name, self.rules).assess(accounts.log, now_ms)
        steps, left = await self._act(assessment, dry_run)
        days_before = await self.drift_by_day(now_ms)
        if accounts.log is not None and not dry_run:
            rows = await drift.measure(
                self.database,
                name,
                accounts.log,
                self.zone,
                self.rules,
                now_ms,
                every_day=every_day or bool(steps),
            )
            await store.save_drift(self.database, rows)
        measured = await self.database.ask(store.drift_rows, name)
        days = drift.by_day(measured, self.zone, self.rules, now_ms)
        alarms = drift.new_alarms(days_before, days)
        return ReconciliationReport(
            name, dry_run, accounts, tuple(steps), tuple(left), tuple(days), tuple(measured), tuple(alarms)
        )

    async def drift_by_day(self, now_ms: int) -> list[DriftDay]:
        """Read the drift of the newest measured days, newest first."""
        async with self.database.read() as connection:
            return drift.by_day(await store.drift_rows(connection, self.relay.name), self.zone, self.rules, now_ms)

    async def _act(self, assessment: Assessment, dry_run: bool) -> tuple[list[ReconciliationStep], list[StillUnknown]]:
        steps, left = [], list(assessment.open)
        catalog = await self.database.ask(prices.read_catalog)
        for found in assessment.charged:
            step = self._step(found, catalog)
            done = dry_run or await self._book(found, step)
            if done and step is not None:
                steps.append(step)
            elif not done and found.request.state == "unknown":
                why = "its charge proves another request, or somebody decided meanwhile"
                left.append(StillUnknown.of(found.request, why))
        for request in assessment.uncharged:
            step = self._new_step(request, "release", 0, None, "the relay's log has no charge it could be")
            if dry_run or await self._decisions.release(request, DecisionReason(ACTOR, step.reason)):
                steps.append(step)
        return steps, left

    def _step(self, found: ChargedRequest, catalog: Catalog) -> ReconciliationStep | None:
        """Return the step a charge leads to; None where the book is right."""
        request, billed = found.request, self.rules.micros(found.row)
        reason = f"the relay's log has its charge: {found.row.points} points"
        if request.state in ("unknown", "released"):
            cost = min(possible_quotes(request, catalog), key=lambda quote: abs(quote - billed))
            action: Action = "settle" if request.state == "unknown" else "correct_late"
            return self._new_step(request, action, cost, billed, reason)
        lower = billed - (request.cost_micros or 0)
        return self._new_step(request, "correct_short", lower, billed, reason) if lower < 0 else None

    def _new_step(
        self, request: SentRow, action: Action, cost_micros: int, billed_micros: int | None, reason: str
    ) -> ReconciliationStep:
        return ReconciliationStep(
            self.relay.name, request.id, request.model, action, cost_micros, billed_micros, reason
        )

    async def _book(self, found: ChargedRequest, step: ReconciliationStep | None) -> bool:
        """Book a step. False when another request has the charge, or this one has ended meanwhile."""
        request, row = found.request, found.row
        charge = MatchedCharge(self.relay.name, row.row_id, request.id, row.points, row.at_ms)
        now_ms = await self.database.now_ms()
        if step is None:
            async with self.database.transaction() as connection:
                return await store.claim(connection, charge, now_ms)
        if step.action == "settle":
            reason = DecisionReason(ACTOR, step.reason)
            return await self._decisions.settle(request, "settle", step.cost_micros, "reconciled", reason, charge)
        if step.action == "correct_late":
            late = corrections.late(request.id, step.cost_micros, 0, now_ms, step.reason, ACTOR)
            return await self._decisions.correct(late, charge)
        return await self._decisions.correct(_lower(step, now_ms), charge)

    @property
    def _decisions(self) -> Decisions:
        return Decisions(self.database, self.ledger, self.zone)


def _lower(step: ReconciliationStep, now_ms: int) -> Correction:
    return Correction(
        step.request_id, "short", step.reason, ACTOR, now_ms, step.cost_micros, cause=f"short:{step.request_id}"
    )
