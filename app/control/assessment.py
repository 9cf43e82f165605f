"""Assessment of requests against the relay's log: charged, not charged, or still open."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.control.matching import LATE_MS, SLACK_MS, MatchingRules, MatchResult, SentRequest, match, why_not_released
from app.core.catalog import Catalog
from app.core.relays import DEFAULT
from app.core.request import ImageRequest
from app.store import prices
from app.store import reconciliation as store
from app.store.engine import Database
from app.store.reconciliation import SentRow
from app.upstream.billing import ChargeLog, LogRow

REACH_MS = 7 * 24 * 3_600_000
"""Age up to which unknown requests are compared with the log; older ones are only listed."""
TOO_YOUNG = "it is too young to be judged"
NO_LOG = "the relay shows no log"
OUT_OF_REACH = "the relay's log does not reach back to it"


@dataclass(frozen=True, slots=True)
class StillUnknown:
    """Request that stays unknown, and the reason."""

    relay: str
    request_id: str
    model: str
    reserved_at_ms: int
    quote_micros: int
    why: str

    @classmethod
    def of(cls, request: SentRow, why: str) -> "StillUnknown":
        return cls(request.relay, request.id, request.model, request.reserved_at_ms, request.quote_micros, why)


@dataclass(frozen=True, slots=True)
class ChargedRequest:
    """Request and the charge in the relay's log that belongs to it."""

    request: SentRow
    row: LogRow


@dataclass(frozen=True, slots=True)
class Assessment:
    """Requests by verdict. `uncharged` are proved to have no charge."""

    charged: list[ChargedRequest]
    uncharged: list[SentRow]
    open: list[StillUnknown]


@dataclass(frozen=True, slots=True)
class Assessor:
    """Compares requests that went to `relay` with its log. Changes nothing. Raises StoreUnavailable."""

    database: Database
    relay: str
    rules: MatchingRules

    async def assess(self, log: ChargeLog | None, now_ms: int) -> Assessment:
        """Assess unknown requests, those that settled short, and releases by hand or under the id of a charge.

        Without a log, every unknown request stays open whose charge was not found earlier.
        """
        reach_ms = now_ms - REACH_MS
        since_ms = reach_ms if log is None else max(log.oldest_at_ms or 0, reach_ms)
        async with self.database.read() as connection:
            catalog = await prices.read_catalog(connection)
            older = await store.unknown(connection, self.relay, 0, since_ms)
            unknown = await store.unknown(connection, self.relay, since_ms, now_ms)
            released = await store.released_and_found(connection, self.relay)
            others = [
                *await store.short(connection, self.relay, since_ms),
                *await store.released_by_hand(connection, self.relay, since_ms),
            ]
        # A run that was killed in between has recorded the charge and booked nothing; the request may have been released since.
        found = (each for each in (*older, *unknown, *released) if each.proof)
        found_earlier = [ChargedRequest(each, _recorded_charge(each)) for each in found]
        assessment = Assessment(found_earlier, [], [])
        older, unknown = ([each for each in some if each.proof is None] for some in (older, unknown))
        if log is None or not log.rows:
            assessment.open.extend(StillUnknown.of(each, NO_LOG) for each in (*older, *unknown))
            return assessment
        assessment.charged.extend(await self._charged_after_release(log))
        assessment.open.extend(StillUnknown.of(each, OUT_OF_REACH) for each in older)
        old_enough = [each for each in (*unknown, *others) if self.rules.is_old_enough(each.dispatched_at_ms, now_ms)]
        old_ids = {each.id for each in old_enough}
        assessment.open.extend(StillUnknown.of(each, TOO_YOUNG) for each in unknown if each.id not in old_ids)
        for group in _groups(old_enough, self._longest_ms):
            await self._assess_group(group, log, catalog, assessment)
        return assessment

    @property
    def _longest_ms(self) -> int:
        """Longest time from the dispatch of a request to its charge in the log."""
        return self.rules.deadline_ms + LATE_MS + SLACK_MS

    async def _assess_group(
        self, group: Sequence[SentRow], log: ChargeLog, catalog: Catalog, assessment: Assessment
    ) -> None:
        """Match a group with the log, together with every other request sent around that time."""
        from_ms = group[0].dispatched_at_ms - 2 * self._longest_ms
        until_ms = group[-1].dispatched_at_ms + 2 * self._longest_ms
        near = await self.database.ask(store.around, self.relay, from_ms, until_ms, self._longest_ms)
        sent = [sent_request(each, catalog) for each in near]
        rows = [row for row in log.rows if from_ms - self._longest_ms <= row.at_ms <= until_ms + self._longest_ms]
        matches = await asyncio.to_thread(match, sent, rows, self.rules)
        for each in group:
            if (row := matches.found.get(each.id)) is not None:
                assessment.charged.append(ChargedRequest(each, row))
            elif each.state == "unknown":
                request = sent_request(each, catalog)
                why = why_not_released(request, log, matches, sent, catalog.known, self.rules)
                if why is None:
                    assessment.uncharged.append(each)
                else:
                    assessment.open.append(
                        StillUnknown.of(each, _fitting_charges(request, matches, rows, self.rules) or why)
                    )

    async def _charged_after_release(self, log: ChargeLog) -> list[ChargedRequest]:
        """Find released requests whose own id the relay has charged, although its refusal meant no charge."""
        rows = {row.request_id: row for row in log.rows if row.request_id and row.points > 0}
        since_ms = (log.oldest_at_ms or 0) - self._longest_ms
        requests = await self.database.ask(store.released, self.relay, list(rows), since_ms)
        return [ChargedRequest(each, rows[each.upstream_request_id or ""]) for each in requests]


def possible_quotes(request: SentRow, catalog: Catalog) -> frozenset[int]:
    """Return every cost in micros that the request can have by the price book at the relay that it went to; at least one.

    What was held is that of the dearest relay. Where no price of the book leads to it, the row lacks a field that the price
    depends on, or a factor has changed: then the relay's part of it is a possible cost, too.
    """
    model = catalog.known.get(request.model)
    facts = {name: getattr(request, name) for name in ("operation", "model", "n", "size", "quality", "stream")}
    wanted = ImageRequest(**facts, partial_images=0, prompt_chars=0, fields={})
    listed = model.prices.quotes_micros(wanted, request.reserved_at_ms) if model else frozenset()
    relay = catalog.relays.get(request.relay, DEFAULT)
    quotes = frozenset(relay.price_micros(micros) for micros in listed)
    every = catalog.relays.values()
    if any(each.price_micros(micros) == request.quote_micros for each in every for micros in listed):
        return quotes
    dearest = max(each.price_factor for each in (relay, *every) if each is relay or each.serves(request.model))
    return quotes | {-(-request.quote_micros * relay.price_factor // dearest)}


def highest_cost_micros(request: SentRow, catalog: Catalog) -> int:
    """Return the most that the request can cost at the relay that it went to, in micros: what was held, or less where another relay
    that could have got it is dearer."""
    return min(request.quote_micros, max(possible_quotes(request, catalog)))


def _recorded_charge(request: SentRow) -> LogRow:
    return LogRow(request.proof or "", request.dispatched_at_ms, request.model, request.proof_points or 0, "")


def sent_request(request: SentRow, catalog: Catalog) -> SentRequest:
    """Return what a stored request is matched by."""
    return SentRequest(
        id=request.id,
        state=request.state,
        model=request.model,
        dispatched_at_ms=request.dispatched_at_ms,
        upstream_ms=request.upstream_ms,
        costs_micros=_possible_costs(request, catalog),
        upstream_request_id=request.upstream_request_id,
        matched_row_id=request.proof,
    )


def _possible_costs(request: SentRow, catalog: Catalog) -> frozenset[int]:
    """Return every amount the relay may have charged: for all images asked for, or for fewer."""
    if request.state == "settled" and request.flag != "short":
        return frozenset({request.cost_micros or 0})
    whole = {request.cost_micros} if request.cost_micros is not None else possible_quotes(request, catalog)
    parts = [(cost * images, request.n) for cost in whole for images in range(1, request.n + 1)]
    # A cost that a factor was applied to is rounded up, so that its parts may be one micro lower than the same part of the price.
    return frozenset(cost // n for cost, n in parts) | frozenset(-(-cost // n) for cost, n in parts)


def _fitting_charges(
    request: SentRequest, matches: MatchResult, rows: Iterable[LogRow], rules: MatchingRules
) -> str | None:
    """Say how many charges fit the request; None where none does."""
    free = {row.row_id for row in matches.unmatched_rows}
    fitting = sum(row.row_id in free and rules.fits(request, row) for row in rows)
    return f"{fitting} charge(s) in the relay's log fit it, and not it alone" if fitting else None


def _groups(requests: Iterable[SentRow], longest_ms: int) -> list[list[SentRow]]:
    """Split requests where two lie so far apart in time that no charge can belong to either."""
    groups: list[list[SentRow]] = []
    for each in sorted(requests, key=lambda request: request.dispatched_at_ms):
        if groups and each.dispatched_at_ms - groups[-1][-1].dispatched_at_ms <= 2 * longest_ms:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups
