"""Matching of charges in the relay's log with requests: pure rules that prove a match instead of guessing it.

A row with the relay's request id belongs to the request with that id. Without ids, model, time and amount must fit, and a match
counts only where nothing else fits on either side. Ambiguous requests stay open for a person to decide.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.store.ledger.columns import State
from app.upstream.billing import ChargeLog, LogRow, points_to_micros

SLACK_MS: Final = 60_000
"""Largest difference between the relay's clock, with the delay of its log, and ours."""
LATE_MS: Final = 600_000
"""Time after the deadline of an exchange within which its charge appears in the log."""


@dataclass(frozen=True, slots=True)
class SentRequest:
    """Request that went to the relay. `costs_micros` are the possible amounts of its charge, by our price book.

    A settled request counts as charged. `upstream_ms` is None where its end was not seen; `matched_row_id` names the row that was
    matched earlier.
    """

    id: str
    state: State
    model: str
    dispatched_at_ms: int
    upstream_ms: int | None
    costs_micros: frozenset[int]
    upstream_request_id: str | None = None
    matched_row_id: str | None = None


@dataclass(frozen=True, slots=True)
class MatchingRules:
    """Parameters of the rules: `deadline_ms` is the longest exchange, `micros_per_dollar` the price of 500,000 points."""

    deadline_ms: int
    micros_per_dollar: int

    def is_old_enough(self, dispatched_at_ms: int, now_ms: int) -> bool:
        """True when a charge of a request sent then would be in the log by now."""
        return now_ms > dispatched_at_ms + self.deadline_ms + LATE_MS

    def window(self, sent: SentRequest) -> tuple[int, int]:
        """Return the first and last instant at which the charge can be in the log. Without a known end, that is the deadline's."""
        seen_end = sent.state == "settled" and sent.upstream_ms is not None
        lasted_ms = (sent.upstream_ms or 0) if seen_end else self.deadline_ms + LATE_MS
        return sent.dispatched_at_ms - SLACK_MS, sent.dispatched_at_ms + lasted_ms + SLACK_MS

    def fits(self, sent: SentRequest, row: LogRow) -> bool:
        """True when the row can be this request's charge, as far as model, time, amount and ids tell."""
        start_ms, end_ms = self.window(sent)
        ids_differ = bool(row.request_id and sent.upstream_request_id)  # Equal ids were matched before.
        return (
            row.model == sent.model
            and start_ms <= row.at_ms <= end_ms
            and not ids_differ
            and any(abs(self.micros(row) - cost) <= self._point_micros for cost in sent.costs_micros)
        )

    def micros(self, row: LogRow) -> int:
        return points_to_micros(row.points, self.micros_per_dollar)

    @property
    def _point_micros(self) -> int:
        return points_to_micros(1, self.micros_per_dollar)


@dataclass(frozen=True, slots=True)
class MatchResult:
    """Matches. `found` has the one row of a request, by its id; `unmatched_rows` are charges of no certain request;
    `unmatched_settled` are ids of settled requests without a row."""

    found: Mapping[str, LogRow]
    unmatched_rows: tuple[LogRow, ...]
    unmatched_settled: frozenset[str]


def match(sent: Sequence[SentRequest], rows: Iterable[LogRow], rules: MatchingRules) -> MatchResult:
    """Match requests with rows of the log. A row that was matched earlier is left out."""
    known = {each.matched_row_id for each in sent if each.matched_row_id}
    charges = [row for row in rows if row.points > 0 and row.row_id not in known]
    unmatched = [each for each in sent if each.matched_row_id is None]
    found = _by_id(unmatched, charges)
    taken = {row.row_id for row in found.values()}
    fits = _Candidates.between(
        [each for each in unmatched if each.id not in found],
        [row for row in charges if row.row_id not in taken],
        rules,
    )
    settled_rows = fits.match_settled(found)
    taken |= settled_rows
    fits.match_single(found)
    taken |= {row.row_id for row in found.values()}
    free = tuple(row for row in charges if row.row_id not in taken)
    accounted = found.keys() | fits.accounted
    settled_without_row = frozenset(
        each.id for each in unmatched if each.state == "settled" and each.id not in accounted
    )
    return MatchResult(found, free, settled_without_row)


def why_not_released(
    request: SentRequest,
    log: ChargeLog,
    matches: MatchResult,
    sent: Iterable[SentRequest],
    models: Iterable[str],
    rules: MatchingRules,
) -> str | None:
    """Return why it is not proved that the relay never charged `request`; None when it is proved.

    Proved means: the log reaches back beyond the request, every settled request of the model around it is found in the log,
    and no charge is left over that could be its own. A charge for a model the catalog does not know could be anybody's.
    """
    start_ms, end_ms = rules.window(request)
    if log.oldest_at_ms is None or log.oldest_at_ms >= start_ms:
        return "the relay's log does not reach back beyond it"
    known = set(models)
    for row in matches.unmatched_rows:
        if start_ms <= row.at_ms <= end_ms and (row.model == request.model or row.model not in known):
            return "the relay's log has a charge that could be its own, or another's"
    for other in sent:
        overlaps = start_ms <= rules.window(other)[1] and rules.window(other)[0] <= end_ms
        if other.id in matches.unmatched_settled and other.model == request.model and overlaps:
            return "the relay's log lacks a settled request of the same time"
    return None


def _by_id(sent: Iterable[SentRequest], rows: Iterable[LogRow]) -> dict[str, LogRow]:
    """Match by the relay's request id. An id of two rows or two requests matches none."""
    rows_of, requests_of = defaultdict(list), defaultdict(list)
    for row in rows:
        rows_of[row.request_id].append(row)
    for each in sent:
        requests_of[each.upstream_request_id or ""].append(each)
    return {
        requests_of[id][0].id: rows_of[id][0]
        for id in rows_of.keys() & requests_of.keys() - {""}
        if len(rows_of[id]) == len(requests_of[id]) == 1
    }


@dataclass(slots=True)
class _Candidates:
    """Requests and rows without a common id, and which of them fit. Rows of settled requests are removed first."""

    requests: dict[str, SentRequest]
    rows: dict[str, LogRow]
    rows_of: dict[str, set[str]]
    requests_of: dict[str, set[str]]
    accounted: set[str]

    @classmethod
    def between(cls, sent: Sequence[SentRequest], rows: Sequence[LogRow], rules: MatchingRules) -> "_Candidates":
        by_model = defaultdict(list)
        for row in rows:
            by_model[row.model].append(row)
        fits = cls({each.id: each for each in sent}, {row.row_id: row for row in rows}, {}, defaultdict(set), set())
        for each in sent:
            fits.rows_of[each.id] = {row.row_id for row in by_model[each.model] if rules.fits(each, row)}
            for row_id in fits.rows_of[each.id]:
                fits.requests_of[row_id].add(each.id)
        return fits

    def match_settled(self, found: dict[str, LogRow]) -> set[str]:
        """Remove rows of settled requests, which were charged; returns their ids.

        Where a group has as many fitting rows as members, the rows belong to the group, in any order.
        """
        taken: set[str] = set()
        for group, row_ids in self._settled_groups():
            if len(group) != len(row_ids):
                continue
            if len(group) == 1 and self.requests_of[next(iter(row_ids))] == group:
                found[next(iter(group))] = self.rows[next(iter(row_ids))]
            self.accounted |= group
            taken |= row_ids
        for row_id in taken:
            for id in self.requests_of.pop(row_id, set()):
                self.rows_of[id].discard(row_id)
        for id in self.accounted:
            self.rows_of.pop(id, None)
        return taken

    def match_single(self, found: dict[str, LogRow]) -> None:
        """Match each request and row that fit each other and nothing else."""
        for id, row_ids in self.rows_of.items():
            if len(row_ids) == 1 and self.requests_of[next(iter(row_ids))] == {id}:
                found[id] = self.rows[next(iter(row_ids))]

    def _settled_groups(self) -> list[tuple[set[str], set[str]]]:
        """Group settled requests that share fitting rows, each group with its rows."""
        left = {id for id, each in self.requests.items() if each.state == "settled" and self.rows_of[id]}
        groups = []
        while left:
            group, row_ids, todo = set(), set(), [left.pop()]
            while todo:
                group.add(id := todo.pop())
                row_ids |= self.rows_of[id]
                near = {other for row_id in self.rows_of[id] for other in self.requests_of[row_id]} & left
                left -= near
                todo += near
            groups.append((group, row_ids))
        return groups
