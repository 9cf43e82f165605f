"""Page of the relay, for whoever is on call: one sentence about it, and the figures behind the sentence."""

import asyncio
import shutil
from datetime import UTC, datetime, timedelta

from starlette.responses import Response

from app.console.relay_verdict import verdict_on
from app.console.visit import Visit, signed_in
from app.control.relay_health import ROWS_MAX, relay_health
from app.control.relays import show_relay
from app.control.usage import report
from app.core.request import DEFAULT_RELAY
from app.store.backups import BackupRows
from app.store.schema import schema_state

PACE_DAYS = 7
"""Days of spending by which the days are reckoned that the balance lasts."""


async def show_relays(visit: Visit) -> Response:
    """Show the relay. `ask` in the address asks it anew, which can take seconds; else its last answer is shown."""
    gateway, watch = visit.parts.gateway, visit.parts.relay
    asked = watch.ask() if "ask" in visit.query else watch.look()
    state, readiness = await asyncio.gather(asked, gateway.readiness.check())
    health = await relay_health(visit.database)
    now_ms = gateway.clock.now_ms()
    has_key = gateway.settings.upstream_api_key is not None
    disk = await asyncio.to_thread(shutil.disk_usage, gateway.data_dir)
    relay = await show_relay(visit.database, DEFAULT_RELAY)
    left_micros = gateway.reconciliations.bills.left_micros(relay, state.account if state else None)
    return visit.render(
        "relays.html",
        verdict=verdict_on(state, health, readiness, has_key=has_key),
        state=state,
        health=health,
        readiness=readiness,
        address=gateway.upstream.base_url,
        left_micros=left_micros,
        left_days=await _left_days(visit, left_micros, now_ms),
        in_flight=gateway.image_service.in_flight,
        drift=await gateway.reconciliations.drift_by_day(now_ms),
        disk=disk,
        schema=(await schema_state(visit.database)).current,
        rows_max=ROWS_MAX,
        backup_ms=(await BackupRows(visit.database).last()).at_ms,
        now_ms=now_ms,
    )


async def _left_days(visit: Visit, left_micros: int | None, now_ms: int) -> int | None:
    """Return the days that the balance lasts at the pace of the last PACE_DAYS whole days; None without a pace."""
    if left_micros is None:
        return None
    zone = visit.parts.gateway.zone
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
    since = (today - timedelta(days=PACE_DAYS)).isoformat()
    spent = (await report(visit.database, (), since, today.isoformat(), zone, {})).total.cost_micros
    return max(left_micros, 0) * PACE_DAYS // spent if spent > 0 else None


routes = (("GET", "/relays", signed_in(show_relays, "owner", "reader")),)
