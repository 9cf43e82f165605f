"""Page of usage and cost: by day as a chart, and by any two dimensions as a table and as CSV. All sums are the ledger's."""

from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response

from app.console.charts import stacked
from app.console.periods import PERIODS, ReportPeriod, period_of
from app.console.visit import Visit, signed_in
from app.control.usage import UsageReport, regrouped, report
from app.core.money import decimal_text
from app.core.spreadsheet import csv_text, escape_formula
from app.store.usage import Dimension

DIMENSIONS: tuple[Dimension, ...] = ("model", "project", "user", "key", "size", "quality", "day")
FILTERS: tuple[Dimension, ...] = ("model", "project", "user", "key", "size", "quality")
ROWS_MAX = 500
"""Most rows of the table on the page; the CSV has all."""


@dataclass(frozen=True, slots=True)
class UsageQuestion:
    """Question in the address: the period, one or two dimensions, and values that were chosen by id."""

    period: ReportPeriod
    by: tuple[Dimension, ...]
    only: dict[Dimension, str]

    def query(self, **more: str | None) -> dict[str, str | None]:
        """Return the parameters of the address, with some replaced; None removes one."""
        second = self.by[1] if len(self.by) > 1 else None
        chosen: dict[str, str | None] = {str(name): value for name, value in self.only.items()}
        return {**self.period.query, "by": self.by[0], "and": second} | chosen | more


async def show_usage(visit: Visit) -> Response:
    """Show usage of a period: members their own, readers and owners everybody's or whose they choose."""
    asked = _question(visit)
    series: Dimension = next((name for name in asked.by if name != "day"), "model")
    found = await _report(visit, asked, tuple(dict.fromkeys(("day", *asked.by, series))))
    table, daily = regrouped(found, asked.by), regrouped(found, ("day", series))
    chart = stacked(asked.period.days, {(row.names[0][0], row.names[1][0]): row.sums.cost_micros for row in daily.rows})
    return visit.render(
        "usage.html",
        asked=asked,
        table=table,
        rows=table.rows[:ROWS_MAX],
        chart=chart,
        series=series,
        periods=PERIODS,
        dimensions=[name for name in DIMENSIONS if visit.sees_all or name != "user"],
        named=await _names(visit, asked),
    )


async def export_usage(visit: Visit) -> Response:
    """Answer with the table as CSV: exactly the rows and sums of the page, without its bound on rows."""
    asked = _question(visit)
    found = await _report(visit, asked, asked.by)
    lines = [[*found.by, "requests", "images", "cost", "currency"]]
    for row in found.rows:
        names = [escape_formula(name) for name, _ in row.names]
        counts = (str(row.sums.requests), str(row.sums.images), decimal_text(row.sums.cost_micros))
        lines.append([*names, *counts, visit.parts.gateway.currency])
    name = f"usage-{asked.period.since}-{asked.period.last.isoformat()}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    # With the mark at its beginning spreadsheets read it as UTF-8.
    return Response(b"\xef\xbb\xbf" + csv_text(lines).encode(), 200, headers, "text/csv")


def _question(visit: Visit) -> UsageQuestion:
    today = datetime.fromtimestamp(visit.parts.gateway.clock.now_ms() / 1000, UTC).astimezone(visit.parts.gateway.zone)
    usual = "last-month" if visit.role == "reader" else "30d"
    first = "project" if visit.role == "reader" else "model"
    wanted = [name for name in (visit.query.get("by", first), visit.query.get("and", "")) if name in DIMENSIONS]
    by = [name for name in DIMENSIONS if name in wanted] or [DIMENSIONS[0]]
    by.sort(key=lambda name: wanted.index(name) if name in wanted else 0)
    only = {name: visit.query[name][:200] for name in FILTERS if visit.query.get(name)}
    return UsageQuestion(period_of(visit.query, today.date(), usual), tuple(by), only)


async def _report(visit: Visit, asked: UsageQuestion, by: tuple[Dimension, ...]) -> UsageReport:
    """Read a report. A member's is of their own requests, whatever the address says."""
    only = asked.only if visit.sees_all else {**asked.only, "user": visit.user.user_id}
    return await report(visit.database, by, asked.period.since, asked.period.until, visit.parts.gateway.zone, only)


async def _names(visit: Visit, asked: UsageQuestion) -> dict[Dimension, str]:
    """Return the names of the chosen values, by dimension."""
    if not asked.only:
        return {}
    chosen = tuple(asked.only)
    found = await _report(visit, asked, chosen)
    names = {name: found.rows[0].names[at][0] for at, name in enumerate(chosen)} if found.rows else {}
    return {**asked.only, **names}


routes = (
    ("GET", "/usage", signed_in(show_usage)),
    ("GET", "/usage.csv", signed_in(export_usage)),
)
