"""Overview for owners and readers: this month against the limit, what needs them, spend by day and model, and who spends most."""

from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from app.console.charts import daily_chart
from app.console.navigation import DESTINATIONS
from app.console.pace import RECENT_DAYS, pace_of, recent_micros, shown_limit
from app.console.periods import PERIODS, period_of
from app.console.visit import Visit, signed_in
from app.control.attention import attention
from app.control.limits import ScopeRef, show_limits
from app.control.usage import overview, report, sums_of
from app.store.usage import UsageSpan

PEOPLE_MAX = 8
ROWS_MAX = 1_000_000
"""More than there are people and models."""


async def show_overview(visit: Visit) -> Response:
    """Show what an owner wants to know first. All sums are of the roll-up and the counters."""
    gateway, database = visit.parts.gateway, visit.database
    zone, now_ms = gateway.zone, gateway.clock.now_ms()
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
    period, month = period_of(visit.query, today), period_of({"period": "month"}, today)
    since = min(month.first, today - timedelta(days=RECENT_DAYS - 1)).isoformat()
    # One look at the roll-up for both: it has a row for each person, model and day.
    found = await overview(database, ("model", "user"), UsageSpan(period.since, period.until), ROWS_MAX)
    people = sums_of(found.rows, 1)
    newest = {day: total for day, total, _ in found.days}
    if since < period.since or period.last < today:  # The period does not hold the month.
        rows = (await report(database, ["day"], since, None, zone, {})).rows
        newest = {row.names[0][0]: row.sums.cost_micros for row in rows}
    state = shown_limit(await show_limits(database, zone, ScopeRef("organization")))
    return visit.render(
        "overview.html",
        period=period,
        periods=PERIODS,
        month=month,
        spent_micros=sum(cost for day, cost in newest.items() if day >= month.since),
        interval=None if state is None else state.limit.interval,
        pace=None if state is None else pace_of(state, recent_micros(newest, today), now_ms, zone),
        needs=await attention(database, gateway.reconciliations, gateway.readiness.relays),
        total=found.total,
        chart=daily_chart(period.days, found),
        people=people[:PEOPLE_MAX],
        more_people=len(people) - PEOPLE_MAX,
        pages={each.path for each in DESTINATIONS if visit.role in each.roles},
    )


routes = (("GET", "/overview", signed_in(show_overview, "owner", "reader")),)
