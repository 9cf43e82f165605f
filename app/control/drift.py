"""Difference between our book and the relay's bill, by local day and model."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.control.matching import LATE_MS, SLACK_MS, MatchingRules
from app.core.intervals import bounds_ms, local_day
from app.store import reconciliation as store
from app.store.engine import Database
from app.store.reconciliation import DriftRow
from app.upstream.billing import ChargeLog, LogRow, points_to_micros

DAYS = 8
ALARM_PERCENT = 1


@dataclass(frozen=True, slots=True)
class DriftDay:
    """Sums of a local day at one relay over all models. `closed`: its requests have ended, and their charges are in the log."""

    relay: str
    day: str
    booked_micros: int
    billed_micros: int
    closed: bool

    @property
    def is_over(self) -> bool:
        apart, larger = abs(self.booked_micros - self.billed_micros), max(self.booked_micros, self.billed_micros)
        return apart * 100 > larger * ALARM_PERCENT


async def measure(
    database: Database,
    relay: str,
    log: ChargeLog,
    zone: ZoneInfo,
    rules: MatchingRules,
    now_ms: int,
    *,
    every_day: bool,
) -> list[DriftRow]:
    """Measure the last days that the log covers whole; without `every_day` only those that were not closed when last measured."""
    if log.oldest_at_ms is None:
        return []
    lasts_ms = rules.deadline_ms + LATE_MS
    measured: list[DriftRow] = []
    async with database.read() as connection:
        known = {row.day: row.measured_at_ms for row in await store.drift_rows(connection, relay, DAYS)}
        for day, start_ms, end_ms in _days(log, zone, now_ms):
            if not every_day and known.get(day, 0) > end_ms + lasts_ms:
                continue
            booked = await store.booked(connection, relay, max(start_ms, log.oldest_at_ms - SLACK_MS), end_ms, lasts_ms)
            billed = _billed(row for row in log.rows if start_ms <= row.at_ms < end_ms)
            measured += _rows(relay, day, booked, billed, rules, now_ms)
    return measured


def by_day(rows: Iterable[DriftRow], zone: ZoneInfo, rules: MatchingRules, now_ms: int) -> list[DriftDay]:
    """Sum the models of each day and relay; newest day first."""
    days: dict[tuple[str, str], list[DriftRow]] = defaultdict(list)
    for row in rows:
        days[row.day, row.relay].append(row)
    today = local_day(now_ms - rules.deadline_ms - LATE_MS, zone)
    return [
        DriftDay(relay, day, sum(row.booked_micros for row in its), sum(row.billed_micros for row in its), day < today)
        for (day, relay), its in sorted(sorted(days.items()), key=lambda each: each[0][0], reverse=True)
    ]


def new_alarms(before: Sequence[DriftDay], after: Sequence[DriftDay]) -> list[DriftDay]:
    """Select closed days that are more than a hundredth apart and were not so before: those raise an alarm."""
    known = set(before)
    return [day for day in after if day.closed and day.is_over and day not in known]


def _days(log: ChargeLog, zone: ZoneInfo, now_ms: int) -> Iterator[tuple[str, int, int]]:
    """Yield day, start and end from today backwards, as far as the log covers whole days. A truncated log has part of its first."""
    at_ms = now_ms
    for _ in range(DAYS):
        start_ms, end_ms = bounds_ms("day", at_ms, zone)
        assert end_ms is not None and log.oldest_at_ms is not None
        if end_ms <= log.oldest_at_ms or (log.is_truncated and start_ms < log.oldest_at_ms):
            return
        yield local_day(at_ms, zone), start_ms, end_ms
        at_ms = start_ms - 1


def _billed(rows: Iterable[LogRow]) -> dict[str, int]:
    points: dict[str, int] = defaultdict(int)
    for row in rows:
        points[row.model] += row.points
    return points


def _rows(
    relay: str, day: str, booked: dict[str, int], billed: dict[str, int], rules: MatchingRules, now_ms: int
) -> list[DriftRow]:
    def row(model: str) -> DriftRow:
        points = billed.get(model, 0)
        billed_micros = points_to_micros(points, rules.micros_per_dollar)
        return DriftRow(relay, day, model, booked.get(model, 0), billed_micros, points, now_ms)

    return [row(model) for model in sorted(booked.keys() | billed.keys())]
