"""Page of statements: a month of one project or of all, line by line beside the relay's bill, to read, print, export and close."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from app.console.choices import all_projects
from app.console.exports import csv_response
from app.console.language import marked as _
from app.console.visit import Visit, signed_in
from app.control.statements import LineField, Statement, StatementGroup, StatementMonth, close_statement, read_statement
from app.core.money import decimal_text
from app.core.spreadsheet import escape_formula
from app.errors import InvalidValue
from app.store.statements import list_statements
from app.store.usage import Dimension

LINES: dict[str, tuple[LineField, ...]] = {"day": ("day", "model"), "project": ("project",), "model": ("model",)}
"""Fields that the lines of a CSV are told apart by, by the value of `by`."""


@dataclass(frozen=True, slots=True)
class StatementRows:
    """Table of a statement: what its rows are of, each row with the id that a report filters by, and the row's sums."""

    dimension: Dimension
    rows: Sequence[tuple[str, str, StatementGroup]]


async def show_statement(visit: Visit) -> Response:
    """Show a month: frozen if it is closed, else as the book has it now. With `close` in the address an owner is asked whether to
    close it."""
    found = await _statement(visit)
    return visit.render(
        "statement.html",
        statement=found,
        total=found.total,
        tables=_tables(found),
        projects=await all_projects(visit),
        closed=await visit.database.ask(list_statements),
        query={"month": found.month.name, "project": found.project_id or None},
        last=_day_before(found.month.until),
        is_asked="close" in visit.query,
    )


async def export_statement(visit: Visit) -> Response:
    """Answer with the lines as CSV. `by`: day (each with its models), project or model."""
    found = await _statement(visit)
    by = LINES.get(visit.query.get("by", ""), LINES["day"])
    lines = [[*by, "requests", "images", "cost", "later", "relay_bill", "difference", "currency"]]
    for group in found.grouped(*by):
        money = (group.cost_micros, group.later_micros, group.billed_micros, group.difference_micros)
        texts = ["" if micros is None else decimal_text(micros) for micros in money]
        counts = [str(group.requests), str(group.images)]
        lines.append([*map(escape_formula, group.names), *counts, *texts, visit.parts.gateway.currency])
    of = f"-{found.project_id}" if found.project_id else ""
    return csv_response(f"statement-{found.month.name}{of}-by-{by[0]}.csv", lines)


async def close_month(visit: Visit) -> Response:
    """Close a month for good. Raises InvalidValue without the field of the page that asks whether to."""
    form = await visit.form()
    if form.get("sure") != "yes":
        raise InvalidValue(_("A month is closed for good, so its page asks before. Nothing was closed."), param="sure")
    month, project = StatementMonth.of(form.get("month", "")), form.get("project") or None
    await close_statement(visit.database, month, project, visit.parts.gateway.zone)
    return visit.redirect("/statement", month=month.name, project=project, done="closed")


async def _statement(visit: Visit) -> Statement:
    try:
        month = StatementMonth.of(visit.query.get("month", ""))
    except InvalidValue:
        month = last_month(visit)
    zone = visit.parts.gateway.zone
    return await read_statement(visit.database, month, visit.query.get("project") or None, zone)


def last_month(visit: Visit) -> StatementMonth:
    gateway = visit.parts.gateway
    today = datetime.fromtimestamp(gateway.clock.now_ms() / 1000, UTC).astimezone(gateway.zone).date()
    return StatementMonth.of(f"{today.replace(day=1) - timedelta(days=1):%Y-%m}")


def _tables(found: Statement) -> list[StatementRows]:
    by_project = StatementRows("project", _dearest_first(found.grouped("project", "project_id")))
    by_model = StatementRows("model", _dearest_first(found.grouped("model")))
    by_day = StatementRows("day", [(group.names[0], group.names[0], group) for group in found.grouped("day")])
    return [by_model, by_day] if found.project_id else [by_project, by_model, by_day]


def _dearest_first(groups: Sequence[StatementGroup]) -> list[tuple[str, str, StatementGroup]]:
    ranked = sorted(groups, key=lambda group: (-group.cost_micros, group.names))
    return [(group.names[0], group.names[-1], group) for group in ranked]


def _day_before(day: str) -> str:
    return (datetime.fromisoformat(day) - timedelta(days=1)).date().isoformat()


routes = (
    ("GET", "/statement", signed_in(show_statement, "owner", "reader")),
    ("GET", "/statement.csv", signed_in(export_statement, "owner", "reader")),
    ("POST", "/statement/close", signed_in(close_month, "owner")),
)
