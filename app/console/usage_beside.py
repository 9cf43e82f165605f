"""Columns beside a table of usage: the relay's bill with its difference, and what was booked after a month was closed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.control.statements import BillAndClosing
from app.control.usage import UsageOverview
from app.store.statements import StatementLine, StatementRecord
from app.store.usage import Dimension, Sums, UsageRow

RowKey = tuple[str, ...]
"""Ids of a row's values."""


@dataclass(frozen=True, slots=True)
class UsageBeside:
    """Amounts in micros by row; `billed` and `later` are None where nothing tells the rows apart.

    `difference` is the bill minus the cost, of rows whose days are all in the bill. The totals of the bill are those of
    `days_billed` of the `days_used`; None where it is not known at all. `more_rows` are those that only the bill or the closed
    month has. `read_at_ms` is when the bill was read last, where a day was not over then: the total compares the bill of that day
    with what was booked then.
    """

    billed: Mapping[RowKey, int] | None
    difference: Mapping[RowKey, int]
    billed_total: int | None
    difference_total: int
    days_billed: int
    days_used: int
    closed: StatementRecord | None
    later: Mapping[RowKey, int] | None
    later_total: int
    more_rows: tuple[UsageRow, ...]
    read_at_ms: int | None


def beside_usage(known: BillAndClosing, found: UsageOverview) -> UsageBeside:
    """Put the bill and the closed month into the rows of a table."""
    costs = {tuple(id for _, id in row.names): row.sums.cost_micros for row in found.rows}
    days = {day: cost for day, cost, _ in found.days if cost}
    billed_days = {day for day, _ in known.bill}
    whole_days = billed_days - {day for day, _ in known.partial}
    compared = sum(cost for day, cost in days.items() if day in whole_days) + sum(known.partial.values())
    billed = _billed(known.bill, found.by)
    rows_known = {key for key in {*costs, *(billed or {})} if _day(key, found.by) in whole_days}
    if "day" not in found.by and days.keys() <= whole_days:
        rows_known = {*costs, *(billed or {})}
    if billed is not None:  # What the bill of a known day does not name was not billed.
        billed |= dict.fromkeys(rows_known - billed.keys(), 0)
    frozen = _frozen(known.lines, found.by) if known.closed is not None else None
    more = sorted({*(billed or {}), *(frozen or {})} - costs.keys())
    return UsageBeside(
        billed=billed,
        difference={key: billed[key] - costs.get(key, 0) for key in rows_known} if billed is not None else {},
        billed_total=sum(known.bill.values()) if known.bill else None,
        difference_total=sum(known.bill.values()) - compared,
        days_billed=len(days.keys() & billed_days),
        days_used=len(days),
        closed=known.closed,
        later=None if frozen is None else {key: costs.get(key, 0) - frozen.get(key, 0) for key in {*costs, *frozen}},
        later_total=found.total.cost_micros - sum(line.cost_micros for line in known.lines),
        more_rows=tuple(UsageRow(tuple((id, id) for id in key), Sums()) for key in more),
        read_at_ms=known.read_at_ms,
    )


def _day(key: RowKey, by: Sequence[Dimension]) -> str | None:
    return key[by.index("day")] if "day" in by else None


def _billed(bill: Mapping[tuple[str, str], int], by: Iterable[Dimension]) -> dict[RowKey, int] | None:
    if not bill or not set(by) <= {"day", "model"}:
        return None
    sums: dict[RowKey, int] = defaultdict(int)
    for (day, model), micros in bill.items():
        sums[tuple(day if name == "day" else model for name in by)] += micros
    return dict(sums)


def _frozen(lines: Iterable[StatementLine], by: Iterable[Dimension]) -> dict[RowKey, int] | None:
    if not set(by) <= {"day", "project", "model"}:
        return None
    sums: dict[RowKey, int] = defaultdict(int)
    for line in lines:
        ids = {"day": line.day, "project": line.project_id, "model": line.model}
        sums[tuple(ids[name] for name in by)] += line.cost_micros
    return dict(sums)
