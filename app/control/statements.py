"""Statements: a month of one project or of all, as a draft while it is open, and frozen once an owner has closed it.

A closed month keeps what the book and the relay's bill said at that time. What is booked or corrected in it afterwards is
told apart as *later*: the difference between the book now and the frozen lines.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from app.control.dates import start_of_day_ms
from app.control.names import quoted
from app.control.projects import get_project
from app.core.ids import new_id
from app.core.intervals import local_day
from app.errors import Conflict, InvalidValue
from app.store import statements as store
from app.store.audit_logs import Change, log_changes
from app.store.engine import Database
from app.store.statements import BillKey, StatementLine, StatementRecord
from app.store.usage import Dimension, UsageSpan

LineField = Literal["day", "project", "project_id", "model"]
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True)
class StatementMonth:
    """Local month such as `2026-11`: days from `since` to before `until`."""

    name: str
    since: str
    until: str

    @classmethod
    def of(cls, name: str) -> "StatementMonth":
        """Parse a month. Raises InvalidValue."""
        if not _MONTH.fullmatch(name) or name < "0001-01" or name > "9999-11":
            raise InvalidValue(f"{quoted(name)} is not a month; write 2026-11.", param="month")
        first = date.fromisoformat(f"{name}-01")
        return cls(name, first.isoformat(), (first + timedelta(days=31)).replace(day=1).isoformat())


@dataclass(frozen=True, slots=True)
class StatementGroup:
    """Sums of lines with equal values; money in micros. `cost_micros` is frozen in a closed month, `later_micros` what was booked
    or corrected after that. `billed_micros` is the relay's bill and `difference_micros` that minus the cost, both of the days that
    the bill is known of; None where it is known of none, or does not tell these lines apart."""

    names: tuple[str, ...]
    requests: int
    images: int
    cost_micros: int
    later_micros: int
    billed_micros: int | None
    difference_micros: int | None


@dataclass(frozen=True, slots=True)
class Statement:
    """Month of a project, or of all (`project` is None). `closed` is None for a draft, whose lines are those of the book now.
    `later` has the lines of what was booked afterwards. `bill` is empty for a single project: the relay bills all together."""

    month: StatementMonth
    project_id: str
    project: str | None
    closed: StatementRecord | None
    is_over: bool
    unknown: int
    lines: tuple[StatementLine, ...]
    later: tuple[StatementLine, ...]
    bill: Mapping[BillKey, int]

    @property
    def billed_days(self) -> set[str]:
        return {day for day, _ in self.bill}

    @property
    def days_without_bill(self) -> list[str]:
        """List the days with lines whose bill is not known."""
        return sorted({line.day for line in self.lines} - self.billed_days)

    @property
    def total(self) -> StatementGroup:
        return self.grouped()[0]

    def grouped(self, *by: LineField) -> list[StatementGroup]:
        """Sum the lines by some of their fields, in the order of their values. Without a field: the total."""
        sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * 5)
        billed: dict[tuple[str, ...], int] = defaultdict(int)
        has_bill, billed_days = not {"project", "project_id"} & set(by), self.billed_days
        for (day, model), micros in self.bill.items() if has_bill else ():
            billed[tuple(day if field == "day" else model for field in by)] += micros
        for line in self.lines:
            names = tuple(getattr(line, field) for field in by)
            is_known = has_bill and line.day in billed_days
            if is_known:
                billed[names] += 0  # A model that the bill of its day does not name was not billed.
            known_micros = line.cost_micros if is_known else 0
            for at, value in enumerate((line.requests, line.images, line.cost_micros, known_micros)):
                sums[names][at] += value
        for line in self.later:
            sums[tuple(getattr(line, field) for field in by)][4] += line.cost_micros
        keys = sorted(sums.keys() | billed.keys() | ({()} if not by else set()))
        return [_group(key, sums[key], billed.get(key)) for key in keys]


def _group(names: tuple[str, ...], sums: Sequence[int], billed: int | None) -> StatementGroup:
    requests, images, cost, known, later = sums
    return StatementGroup(names, requests, images, cost, later, billed, None if billed is None else billed - known)


@dataclass(frozen=True, slots=True)
class BillAndClosing:
    """Bill of the relay for a report's period, by local day and model, in micros, as far as it is known; and where the period is a
    closed month, that statement with its frozen lines."""

    bill: Mapping[BillKey, int]
    closed: StatementRecord | None
    lines: tuple[StatementLine, ...]
    partial: Mapping[BillKey, int] = field(default_factory=dict)
    """What the book had when the bill was read last, in micros, of days that were not over then."""
    read_at_ms: int | None = None
    """When that was; None where no day is partial."""


async def bill_and_closing(
    database: Database, since: str, until: str, only: Mapping[Dimension, str], zone: ZoneInfo
) -> BillAndClosing:
    """Read what stands beside a report of local days from `since` to before `until`. A report of some users, keys, sizes or
    qualities has nothing beside it; one of a project has the lines of that project, without the bill."""
    if not set(only) <= {"project", "model"}:
        return BillAndClosing({}, None, ())
    month, project_id, model = since[:7], only.get("project", ""), only.get("model")
    is_month = StatementMonth.of(month) == StatementMonth(month, since, until)
    async with database.read() as connection:
        bill = {} if project_id else await store.current_bill(connection, since, until)
        measured = await store.measured_days(connection, since, until) if bill else []
        closed = await store.find_statement(connection, month, project_id) if is_month else None
        if closed is None and is_month and project_id:
            closed = await store.find_statement(connection, month, "")
        lines = await store.lines_of(connection, closed.id) if closed is not None else []
    own = {key: micros for key, micros in bill.items() if model in (None, key[1])}
    frozen = [line for line in lines if model in (None, line.model) and project_id in ("", line.project_id)]
    days = [(day, name, micros, at_ms) for day, name, micros, at_ms in measured if local_day(at_ms, zone) == day]
    partial = {(day, name): micros for day, name, micros, _ in days if model in (None, name)}
    read_at_ms = max((at_ms for *_, at_ms in days), default=None)
    return BillAndClosing(own, closed, tuple(frozen), partial, read_at_ms)


async def read_statement(database: Database, month: StatementMonth, project: str | None, zone: ZoneInfo) -> Statement:
    """Read the statement of a month, of a project by name or id or of all. Raises NotFound for the project."""
    now_ms = await database.now_ms()
    return await database.ask(_read, month, project, zone, now_ms)


async def close_statement(database: Database, month: StatementMonth, project: str | None, zone: ZoneInfo) -> Statement:
    """Close a month for good. Raises InvalidValue while it lasts, NotFound for the project, and Conflict where it is closed."""
    now_ms = await database.now_ms()
    async with database.transaction() as connection:
        draft = await _read(connection, month, project, zone, now_ms)
        if not draft.is_over:
            raise InvalidValue(f"{month.name} has not ended: it can be closed from {month.until} on.", param="month")
        new = StatementRecord(
            new_id("stmt_"), month.name, draft.project_id, draft.project, now_ms, database.actor.name, draft.unknown
        )
        if draft.closed is not None or not await store.insert_statement(connection, new, draft.lines, draft.bill):
            of = f"of project {quoted(draft.project)}" if draft.project else "of all projects"
            raise Conflict(f"{month.name} {of} is closed already. Its statement tells what came later.", param="month")
        after = {"month": month.name, "cost_micros": draft.total.cost_micros}
        change = Change("statement.closed", new.id, None, after, draft.project_id or None)
        await log_changes(connection, change)
        return await _read(connection, month, project, zone, now_ms)


async def _read(
    connection: AsyncConnection, month: StatementMonth, project: str | None, zone: ZoneInfo, now_ms: int
) -> Statement:
    found = None if not project else await get_project(connection, project)
    project_id, name = ("", None) if found is None else (found.id, found.name)
    only: dict[Dimension, str] = {} if found is None else {"project": found.id}
    closed = await store.find_statement(connection, month.name, project_id)
    current = await store.current_lines(connection, UsageSpan(month.since, month.until, only))
    is_over = local_day(now_ms, zone) >= month.until
    if closed is not None:
        lines, bill = await store.lines_of(connection, closed.id), await store.bill_of(connection, closed.id)
        later = _later(lines, current)
        return Statement(month, project_id, name, closed, is_over, closed.unknown, tuple(lines), later, bill)
    bill = {} if found is not None else await store.current_bill(connection, month.since, month.until)
    since_ms, until_ms = (start_of_day_ms(day, "month", zone) for day in (month.since, month.until))
    unknown = await store.count_unknown(connection, since_ms, until_ms, project_id)
    return Statement(month, project_id, name, None, is_over, unknown, tuple(current), (), bill)


def _later(frozen: Sequence[StatementLine], current: Sequence[StatementLine]) -> tuple[StatementLine, ...]:
    """Return the lines of what the book has beyond the frozen ones, negative where it has less."""
    before = {(line.day, line.project_id, line.model): line for line in frozen}
    after = {(line.day, line.project_id, line.model): line for line in current}
    names = {line.project_id: line.project for line in (*current, *frozen)}
    found = []
    for day, project_id, model in sorted(before.keys() | after.keys()):
        was, now = (_amounts(lines.get((day, project_id, model))) for lines in (before, after))
        added = [new - old for old, new in zip(was, now, strict=True)]
        if any(added):
            found.append(StatementLine(day, project_id, names[project_id], model, *added))
    return tuple(found)


def _amounts(line: StatementLine | None) -> tuple[int, int, int]:
    return (0, 0, 0) if line is None else (line.requests, line.images, line.cost_micros)
