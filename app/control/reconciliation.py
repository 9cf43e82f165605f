"""Reconciliation of our book with the relay's own accounts: it ends unknown requests on proof, corrects charges that differ,
and measures the drift between the two by day."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from app.control import drift
from app.control.decisions import DecisionReason, Decisions
from app.control.drift import DriftDay
from app.control.matching import LATE_MS, SLACK_MS, MatchingRules, MatchResult, SentRequest, match, why_not_released
from app.core.catalog import Catalog
from app.core.request import DEFAULT_RELAY, ImageRequest
from app.store import prices
from app.store import reconciliation as store
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.corrections import Correction
from app.store.ledger.types import Ledger
from app.store.reconciliation import Dispatched, DriftRow, MatchedCharge
from app.upstream.billing import ChargeLog, LogRow, RelayBilling, read_accounts
from app.upstream.client import RelayReader

REACH_MS = 7 * 24 * 3_600_000
"""How far back questions are looked into; what is older is only shown."""
ACTOR = "reconciliation"
TOO_YOUNG = "it is too young to be judged"
NO_LOG = "the relay shows no log"
OUT_OF_REACH = "the relay's log does not reach back to it"
Action = Literal["settle", "release", "correct_short", "correct_late"]


@dataclass(frozen=True, slots=True)
class ReconciliationStep:
    """One change of the book, made or (in a dry run) proposed. `cost_micros` is what it adds to the book, `billed_micros` what the
    relay's log says, None for a release."""

    request_id: str
    model: str
    action: Action
    cost_micros: int
    billed_micros: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that stays unknown, and why."""

    request_id: str
    model: str
    reserved_at_ms: int
    quote_micros: int
    why: str


@dataclass(frozen=True, slots=True)
class ReconciliationReport:
    """`days` and `drift` are newest first; `alarms` are the days that have just become more than a hundredth apart."""

    dry_run: bool
    accounts: RelayBilling
    steps: tuple[ReconciliationStep, ...]
    open: tuple[OpenRequest, ...]
    days: tuple[DriftDay, ...]
    drift: tuple[DriftRow, ...]
    alarms: tuple[DriftDay, ...]


@dataclass(frozen=True, slots=True)
class _ChargedRequest:
    """A charge of the relay and the request it belongs to."""

    request: Dispatched
    row: LogRow


@dataclass(frozen=True, slots=True)
class _Assessment:
    charged: list[_ChargedRequest]
    uncharged: list[Dispatched]
    open: list[OpenRequest]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Harmless to repeat and to run twice at once: every step is guarded, and a charge proves one request only."""

    database: Database
    ledger: Ledger
    upstream: RelayReader
    api_key: str
    zone: ZoneInfo
    rules: MatchingRules
    relay: str = DEFAULT_RELAY
    """The relay whose log this is: requests that went to another are not judged by it."""

    async def run(self, *, dry_run: bool = False, every_day: bool = False) -> ReconciliationReport:
        """One pass. Raises StoreUnavailable or StorageFull; a relay that tells nothing is said in the report.

        `every_day` measures days again that were closed when last measured.
        """
        accounts = await read_accounts(self.upstream, self.api_key)
        now_ms = await self.database.now_ms()
        assessment = await self._judge(accounts.log, now_ms)
        steps, left = await self._act(assessment, dry_run)
        days_before = await self._drift_by_day(now_ms)
        if accounts.log is not None and not dry_run:
            rows = await drift.measure(
                self.database,
                self.relay,
                accounts.log,
                self.zone,
                self.rules,
                now_ms,
                every_day=every_day or bool(steps),
            )
            await store.save_drift(self.database, rows)
        async with self.database.read() as connection:
            measured = await store.drift_rows(connection, self.relay)
        days = drift.by_day(measured, self.zone, self.rules, now_ms)
        alarms = drift.news(days_before, days)
        return ReconciliationReport(
            dry_run, accounts, tuple(steps), tuple(left), tuple(days), tuple(measured), tuple(alarms)
        )

    async def _drift_by_day(self, now_ms: int) -> list[DriftDay]:
        async with self.database.read() as connection:
            return drift.by_day(await store.drift_rows(connection, self.relay), self.zone, self.rules, now_ms)

    async def _judge(self, log: ChargeLog | None, now_ms: int) -> _Assessment:
        """Compare every request in question with the log."""
        reach_ms = now_ms - REACH_MS
        since_ms = reach_ms if log is None else max(log.oldest_at_ms or 0, reach_ms)
        async with self.database.read() as connection:
            catalog = await prices.catalog(connection)
            older = await store.unknown(connection, self.relay, 0, since_ms)
            unknown = await store.unknown(connection, self.relay, since_ms, now_ms)
            others = [
                *await store.short(connection, self.relay, since_ms),
                *await store.released_by_hand(connection, self.relay, since_ms),
            ]
        # A charge was found, and its request not ended: this process was killed in between.
        assessment = _Assessment(
            [_ChargedRequest(each, _earlier(each)) for each in (*older, *unknown) if each.proof], [], []
        )
        older, unknown = ([each for each in some if each.proof is None] for some in (older, unknown))
        if log is None or not log.rows:
            assessment.open.extend(_open(each, NO_LOG) for each in (*older, *unknown))
            return assessment
        assessment.charged.extend(await self._charged_after_release(log))
        assessment.open.extend(_open(each, OUT_OF_REACH) for each in older)
        ripe = [each for each in (*unknown, *others) if self.rules.is_ripe(each.dispatched_at_ms, now_ms)]
        ripe_ids = {each.id for each in ripe}
        assessment.open.extend(_open(each, TOO_YOUNG) for each in unknown if each.id not in ripe_ids)
        for group in _groups(ripe, self._lasts_ms):
            await self._judge_group(group, log, catalog, assessment)
        return assessment

    @property
    def _lasts_ms(self) -> int:
        return self.rules.deadline_ms + LATE_MS + SLACK_MS

    async def _judge_group(
        self, asked: Sequence[Dispatched], log: ChargeLog, catalog: Catalog, assessment: _Assessment
    ) -> None:
        """Questions near each other in time, among all that was sent around them."""
        from_ms = asked[0].dispatched_at_ms - 2 * self._lasts_ms
        until_ms = asked[-1].dispatched_at_ms + 2 * self._lasts_ms
        async with self.database.read() as connection:
            near = await store.around(connection, self.relay, from_ms, until_ms, self._lasts_ms)
        sent = [_sent(each, catalog) for each in near]
        rows = [row for row in log.rows if from_ms - self._lasts_ms <= row.at_ms <= until_ms + self._lasts_ms]
        matches = await asyncio.to_thread(match, sent, rows, self.rules)
        for each in asked:
            if (row := matches.found.get(each.id)) is not None:
                assessment.charged.append(_ChargedRequest(each, row))
            elif each.state == "unknown":
                question = _sent(each, catalog)
                why = why_not_released(question, log, matches, sent, catalog.models, self.rules)
                if why is None:
                    assessment.uncharged.append(each)
                else:
                    assessment.open.append(_open(each, _why_open(question, matches, rows, self.rules) or why))

    async def _charged_after_release(self, log: ChargeLog) -> list[_ChargedRequest]:
        """Find requests that the relay refused in words that mean no charge, and charged under the very same id."""
        rows = {row.request_id: row for row in log.rows if row.request_id and row.points > 0}
        async with self.database.read() as connection:
            requests = await store.released(
                connection, self.relay, list(rows), (log.oldest_at_ms or 0) - self._lasts_ms
            )
        return [_ChargedRequest(each, rows[each.upstream_request_id or ""]) for each in requests]

    async def _act(self, assessment: _Assessment, dry_run: bool) -> tuple[list[ReconciliationStep], list[OpenRequest]]:
        steps, left = [], list(assessment.open)
        async with self.database.read() as connection:
            catalog = await prices.catalog(connection)
        for found in assessment.charged:
            step = self._step(found, catalog)
            done = dry_run or await self._book(found, step)
            if done and step is not None:
                steps.append(step)
            elif not done and found.request.state == "unknown":
                left.append(_open(found.request, "its charge proves another request, or somebody decided meanwhile"))
        for request in assessment.uncharged:
            step = ReconciliationStep(
                request.id, request.model, "release", 0, None, "the relay's log has no charge it could be"
            )
            if dry_run or await self._decisions.release(request, DecisionReason(ACTOR, step.reason)):
                steps.append(step)
        return steps, left

    def _step(self, found: _ChargedRequest, catalog: Catalog) -> ReconciliationStep | None:
        """Return the change a charge leads to; None where the book has it right."""
        request, billed = found.request, self.rules.micros(found.row)
        reason = f"the relay's log has its charge: {found.row.points} points"
        if request.state == "unknown":
            cost = min(_quotes(request, catalog), key=lambda quote: abs(quote - billed), default=request.quote_micros)
            return ReconciliationStep(request.id, request.model, "settle", cost, billed, reason)
        if request.state == "released":
            return ReconciliationStep(request.id, request.model, "correct_late", request.quote_micros, billed, reason)
        lower = billed - (request.cost_micros or 0)
        return (
            ReconciliationStep(request.id, request.model, "correct_short", lower, billed, reason) if lower < 0 else None
        )

    async def _book(self, found: _ChargedRequest, step: ReconciliationStep | None) -> bool:
        """Book a step. False when another request has the charge, or this one has ended meanwhile."""
        request, row = found.request, found.row
        proof = MatchedCharge(self.relay, row.proof, request.id, row.points, row.at_ms)
        now_ms = await self.database.now_ms()
        if step is None:
            async with self.database.transaction() as connection:
                return await store.claim(connection, proof, now_ms)
        if step.action == "settle":
            reason = DecisionReason(ACTOR, step.reason)
            return await self._decisions.settle(request, "settle", step.cost_micros, "reconciled", reason, proof)
        if step.action == "correct_late":
            late = corrections.late(request.id, step.cost_micros, 0, now_ms, step.reason, ACTOR)
            return await self._decisions.correct(late, proof)
        return await self._decisions.correct(_lower(step, now_ms), proof)

    @property
    def _decisions(self) -> Decisions:
        return Decisions(self.database, self.ledger, self.zone)


def _earlier(request: Dispatched) -> LogRow:
    """Row of the log that an earlier run found for the request."""
    return LogRow(request.proof or "", request.dispatched_at_ms, request.model, request.proof_points or 0, "")


def _sent(request: Dispatched, catalog: Catalog) -> SentRequest:
    return SentRequest(
        id=request.id,
        state=request.state,
        model=request.model,
        dispatched_at_ms=request.dispatched_at_ms,
        upstream_ms=request.upstream_ms,
        costs_micros=_costs(request, catalog),
        upstream_request_id=request.upstream_request_id,
        proof=request.proof,
    )


def _costs(request: Dispatched, catalog: Catalog) -> frozenset[int]:
    """Fewer images than asked may be billed as fewer."""
    if request.state == "settled" and request.flag != "short":
        return frozenset({request.cost_micros or 0})
    whole = {request.cost_micros} if request.cost_micros is not None else _quotes(request, catalog)
    return frozenset(cost * images // request.n for cost in whole for images in range(1, request.n + 1))


def _quotes(request: Dispatched, catalog: Catalog) -> frozenset[int]:
    """Costs the request can have by our prices."""
    model = catalog.models.get(request.model)
    facts = {name: getattr(request, name) for name in ("operation", "model", "n", "size", "quality", "stream")}
    wanted = ImageRequest(**facts, partial_images=0, prompt_chars=0, fields={})
    quotes = model.prices.quotes_micros(wanted, request.reserved_at_ms) if model else frozenset()
    return quotes or frozenset({request.quote_micros})


def _lower(step: ReconciliationStep, now_ms: int) -> Correction:
    return Correction(
        step.request_id, "short", step.reason, ACTOR, now_ms, step.cost_micros, cause=f"short:{step.request_id}"
    )


def _open(request: Dispatched, why: str) -> OpenRequest:
    return OpenRequest(request.id, request.model, request.reserved_at_ms, request.quote_micros, why)


def _why_open(question: SentRequest, matches: MatchResult, rows: Iterable[LogRow], rules: MatchingRules) -> str | None:
    """Say how many charges fit, which tells more than that some are left over."""
    free = {row.proof for row in matches.free}
    fitting = sum(row.proof in free and rules.fits(question, row) for row in rows)
    return f"{fitting} charge(s) in the relay's log fit it, and not it alone" if fitting else None


def _groups(asked: Iterable[Dispatched], lasts_ms: int) -> list[list[Dispatched]]:
    """Parted where so much time lies between two that they have nothing to do with each other."""
    groups: list[list[Dispatched]] = []
    for each in sorted(asked, key=lambda request: request.dispatched_at_ms):
        if groups and each.dispatched_at_ms - groups[-1][-1].dispatched_at_ms <= 2 * lasts_ms:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups
