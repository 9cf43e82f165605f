"""Page of usage and cost: by day as a chart, and by any two dimensions as a table and as CSV. All sums are the ledger's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.responses import Response

from app.console.charts import daily_chart
from app.console.exports import csv_response
from app.console.periods import PERIODS, ReportPeriod, period_of
from app.console.request_list import NONE
from app.console.usage_beside import UsageBeside, beside_usage
from app.console.visit import Visit, signed_in
from app.control.statements import bill_and_closing
from app.control.usage import UsageOverview, overview, report
from app.core.money import decimal_text
from app.core.spreadsheet import escape_formula
from app.store.usage import Dimension, UsageSpan

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

    def requests(self, names: Sequence[tuple[str, str]] = ()) -> dict[str, str]:
        """Return the parameters of the list of the requests behind a row with these names and ids, or behind the total."""
        only = {str(name): value for name, value in self.only.items()}
        query: dict[str, str] = {**self.period.query, **only, "outcome": "booked"}
        for dimension, (_, id) in zip(self.by, names, strict=False):
            if dimension == "day":
                query = {**query, "period": "", "since": id, "until": id}
            else:
                query[dimension] = id or NONE
        return query


async def show_usage(visit: Visit) -> Response:
    """Show usage of a period: members their own, readers and owners everybody's or whose they choose."""
    asked = _question(visit)
    span = UsageSpan(asked.period.since, asked.period.until, _only(visit, asked))
    found = await overview(visit.database, asked.by, span, ROWS_MAX)
    beside = await _beside(visit, asked, found) if visit.sees_all else None
    shown = [*found.rows, *(beside.more_rows if beside and not found.is_cut else ())]
    return visit.render(
        "usage.html",
        asked=asked,
        table=found,
        rows=[(row, tuple(id for _, id in row.names)) for row in shown],
        beside=beside,
        chart=daily_chart(asked.period.days, found),
        periods=PERIODS,
        dimensions=[name for name in DIMENSIONS if visit.sees_all or name != "user" or name in asked.by],
    )


async def export_usage(visit: Visit) -> Response:
    """Answer with the table as CSV: exactly the rows and sums of the page, without its bound on rows."""
    asked = _question(visit)
    since, until, zone = asked.period.since, asked.period.until, visit.parts.gateway.zone
    found = await report(visit.database, asked.by, since, until, zone, _only(visit, asked))
    lines = [[*found.by, "requests", "images", "cost", "currency"]]
    for row in found.rows:
        names = [escape_formula(name) for name, _ in row.names]
        counts = (str(row.sums.requests), str(row.sums.images), decimal_text(row.sums.cost_micros))
        lines.append([*names, *counts, visit.parts.gateway.currency])
    return csv_response(f"usage-{asked.period.since}-{asked.period.last.isoformat()}.csv", lines)


def _question(visit: Visit) -> UsageQuestion:
    today = datetime.fromtimestamp(visit.parts.gateway.clock.now_ms() / 1000, UTC).astimezone(visit.parts.gateway.zone)
    usual = "last-month" if visit.role == "reader" else "30d"
    first = "project" if visit.role == "reader" else "model"
    wanted = [name for name in (visit.query.get("by", first), visit.query.get("and", "")) if name in DIMENSIONS]
    by = [name for name in DIMENSIONS if name in wanted] or [DIMENSIONS[0]]
    by.sort(key=lambda name: wanted.index(name) if name in wanted else 0)
    only = {name: visit.query[name][:200] for name in FILTERS if visit.query.get(name)}
    return UsageQuestion(period_of(visit.query, today.date(), usual), tuple(by), only)


async def _beside(visit: Visit, asked: UsageQuestion, found: UsageOverview) -> UsageBeside:
    since, until = asked.period.since, asked.period.until
    known = await bill_and_closing(visit.database, since, until, asked.only, visit.parts.gateway.zone)
    return beside_usage(known, found)


def _only(visit: Visit, asked: UsageQuestion) -> dict[Dimension, str]:
    """Return the filter of a report. A member's is of their own requests, whatever the address says."""
    return asked.only if visit.sees_all else {**asked.only, "user": visit.user.user_id}


routes = (
    ("GET", "/usage", signed_in(show_usage)),
    ("GET", "/usage.csv", signed_in(export_usage)),
)
