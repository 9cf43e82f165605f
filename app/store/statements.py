"""Statements in the database: closed months, their lines, and the relay's bill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store.engine import insert
from app.store.tables import drift, is_unresolved, projects, requests, statement_bills, statement_lines, statements
from app.store.usage import UsageSpan, report

BillKey = tuple[str, str]
"""Local day and model."""


@dataclass(frozen=True, slots=True)
class StatementRecord:
    """Closed month. `project_id` is empty, and `project` None, for all projects together. `unknown` counts requests of the month
    whose outcome was not known when it was closed."""

    id: str
    month: str
    project_id: str
    project: str | None
    closed_at_ms: int
    closed_by: str
    unknown: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """Sums of a local day, project and model; cost in micros."""

    day: str
    project_id: str
    project: str
    model: str
    requests: int
    images: int
    cost_micros: int


async def list_statements(connection: AsyncConnection) -> list[StatementRecord]:
    """List closed months, newest month first."""
    order = (statements.c.month.desc(), statements.c.project_id, statements.c.id)
    return [StatementRecord(**row) for row in (await connection.execute(_SELECT.order_by(*order))).mappings()]


async def find_statement(connection: AsyncConnection, month: str, project_id: str) -> StatementRecord | None:
    select = _SELECT.where(statements.c.month == month, statements.c.project_id == project_id)
    row = (await connection.execute(select)).mappings().one_or_none()
    return None if row is None else StatementRecord(**row)


async def insert_statement(
    connection: AsyncConnection,
    statement: StatementRecord,
    lines: Sequence[StatementLine],
    bill: Mapping[BillKey, int],
) -> bool:
    """Insert a statement with its lines and bill. False, with nothing done, where its month is closed already."""
    own = {name: getattr(statement, name) for name in StatementRecord.__slots__ if name != "project"}
    same = (statements.c.month == statement.month, statements.c.project_id == statement.project_id)
    values = sa.select(*map(sa.literal, own.values())).where(~sa.exists().where(*same))
    inserted = insert(connection, statements).from_select(list(own), values).on_conflict_do_nothing()
    if (await connection.execute(inserted)).rowcount != 1:
        return False
    if lines:
        rows = [{name: getattr(line, name) for name in StatementLine.__slots__} for line in lines]
        await connection.execute(sa.insert(statement_lines), [row | {"statement_id": statement.id} for row in rows])
    if bill:
        billed = [{"day": day, "model": model, "billed_micros": micros} for (day, model), micros in bill.items()]
        await connection.execute(sa.insert(statement_bills), [row | {"statement_id": statement.id} for row in billed])
    return True


async def lines_of(connection: AsyncConnection, statement_id: str) -> list[StatementLine]:
    """List the lines of a closed month, by day."""
    select = sa.select(*statement_lines.c[StatementLine.__slots__]).where(
        statement_lines.c.statement_id == statement_id
    )
    ordered = select.order_by(statement_lines.c.day, statement_lines.c.project_id, statement_lines.c.model)
    return [StatementLine(*row) for row in await connection.execute(ordered)]


async def current_lines(connection: AsyncConnection, span: UsageSpan) -> list[StatementLine]:
    """List what the book says now, in the form of a statement's lines."""
    rows = await report(connection, ("day", "project", "model"), span)
    return [
        StatementLine(day, project_id, project, model, row.sums.requests, row.sums.images, row.sums.cost_micros)
        for row in rows
        for (_, day), (project, project_id), (_, model) in [row.names]
    ]


async def bill_of(connection: AsyncConnection, statement_id: str) -> dict[BillKey, int]:
    """Return the bill of a closed month, in micros."""
    columns = statement_bills.c["day", "model", "billed_micros"]
    select = sa.select(*columns).where(statement_bills.c.statement_id == statement_id)
    return {(day, model): micros for day, model, micros in await connection.execute(select)}


async def current_bill(connection: AsyncConnection, since: str, until: str) -> dict[BillKey, int]:
    """Return what the logs of all relays say of local days from `since` (inclusive) to `until` (exclusive), in micros, as far as
    reconciliation measured them."""
    total = sa.cast(sa.func.sum(drift.c.billed_micros), sa.BigInteger)
    select = sa.select(drift.c.day, drift.c.model, total).where(drift.c.day >= since, drift.c.day < until)
    found = await connection.execute(select.group_by(drift.c.day, drift.c.model))
    return {(day, model): micros for day, model, micros in found}


async def measured_days(connection: AsyncConnection, since: str, until: str) -> list[tuple[str, str, int, int]]:
    """List by day and model, of the bill that `current_bill` returns: what the book had when reconciliation measured it, in micros,
    and when that was (Unix ms)."""
    booked = sa.cast(sa.func.sum(drift.c.booked_micros), sa.BigInteger)
    select = sa.select(drift.c.day, drift.c.model, booked, sa.func.max(drift.c.measured_at_ms))
    chosen = select.where(drift.c.day >= since, drift.c.day < until).group_by(drift.c.day, drift.c.model)
    return [(day, model, micros, at_ms) for day, model, micros, at_ms in await connection.execute(chosen)]


async def count_unknown(connection: AsyncConnection, since_ms: int, until_ms: int, project_id: str) -> int:
    """Count requests of unknown outcome reserved from `since_ms` to before `until_ms`, of one project or of all."""
    at_ms = requests.c.reserved_at_ms
    then: list[Any] = [is_unresolved, requests.c.state == "unknown", at_ms >= since_ms, at_ms < until_ms]
    then += [requests.c.project_id == project_id] if project_id else []
    return int((await connection.execute(sa.select(sa.func.count()).select_from(requests).where(*then))).scalar_one())


_SELECT: sa.Select[Any] = sa.select(*(column for column in statements.c), projects.c.name.label("project")).select_from(
    statements.outerjoin(projects, projects.c.id == statements.c.project_id)
)
