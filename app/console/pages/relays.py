"""Page of the relays, for whoever is on call: all of them, one sentence about one, and the figures behind the sentence."""

import asyncio
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from app.api.schemas.relays import RelayOut, relay_answers
from app.console.relay_verdict import verdict_on
from app.console.visit import Visit, signed_in
from app.control.relay_health import ROWS_MAX, relay_health
from app.control.relays import RelayChange, change_relay, list_relays
from app.control.usage import report
from app.core.relays import Relay
from app.store.backups import BackupRows
from app.store.schema import schema_state

PACE_DAYS = 7
"""Days of spending by which the days are reckoned that the balance lasts."""


async def show_relays(visit: Visit) -> Response:
    """Show all relays, and one more closely: that named `relay` in the address. `ask` asks it anew, which can take seconds; else
    its last answer is shown."""
    gateway = visit.parts.gateway
    relays = await list_relays(visit.database)
    has_key = gateway.settings.upstream_api_key is not None
    listed = relay_answers(relays, gateway.relays, has_default_key=has_key)
    chosen, out = _chosen(visit, relays, listed)
    asked = visit.parts.relay_watches.look(chosen, now="ask" in visit.query)
    state, readiness = await asyncio.gather(asked, gateway.readiness.check())
    is_only = len(relays) == 1
    health = await relay_health(visit.database, None if is_only else chosen.name)
    now_ms = gateway.clock.now_ms()
    left_micros = gateway.reconciliations.bills.left_micros(chosen, state.account if state else None)
    return visit.render(
        "relays.html",
        listed=listed,
        chosen=out,
        is_only=is_only,
        verdict=verdict_on(state, health, readiness, has_key=out.has_key),
        state=state,
        health=health,
        readiness=readiness,
        left_micros=left_micros,
        left_days=await _left_days(visit, left_micros, now_ms) if is_only else None,
        in_flight=gateway.image_service.in_flight if is_only else out.in_flight,
        rows_max=ROWS_MAX,
        now_ms=now_ms,
        **await _machine(visit, now_ms),
    )


async def change(visit: Visit) -> Response:
    """Let a relay get no requests any more, or get them again."""
    form = await visit.form()
    name, do = visit.request.path_params["relay"], form.get("do", "")
    if do in ("enable", "disable"):
        await change_relay(visit.database, None, name, RelayChange(disabled=do == "disable"))
    return visit.redirect("/relays", relay=name, done=do)


def _chosen(visit: Visit, relays: Sequence[Relay], listed: Sequence[RelayOut]) -> tuple[Relay, RelayOut]:
    """Return the relay of the address; without one that whose breaker is open, else the first in use."""
    pairs = list(zip(relays, listed, strict=True))
    for name in (
        visit.query.get("relay"),
        *(out.name for out in listed if out.breaker == "open" and not out.disabled_at),
    ):
        if (found := next((pair for pair in pairs if pair[0].name == name), None)) is not None:
            return found
    return next((pair for pair in pairs if pair[0].is_in_use), pairs[0])


async def _machine(visit: Visit, now_ms: int) -> dict[str, Any]:
    """Read what the page tells of the gateway itself."""
    gateway = visit.parts.gateway
    return {
        "drift": await gateway.reconciliations.drift_by_day(now_ms),
        "disk": await asyncio.to_thread(shutil.disk_usage, gateway.data_dir),
        "schema": (await schema_state(visit.database)).current,
        "backup_ms": (await BackupRows(visit.database).last()).at_ms,
    }


async def _left_days(visit: Visit, left_micros: int | None, now_ms: int) -> int | None:
    """Return the days that the balance lasts at the pace of the last PACE_DAYS whole days; None without a pace."""
    if left_micros is None:
        return None
    zone = visit.parts.gateway.zone
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
    since = (today - timedelta(days=PACE_DAYS)).isoformat()
    spent = (await report(visit.database, (), since, today.isoformat(), zone, {})).total.cost_micros
    return max(left_micros, 0) * PACE_DAYS // spent if spent > 0 else None


routes = (
    ("GET", "/relays", signed_in(show_relays, "owner", "reader")),
    ("POST", "/relays/{relay}", signed_in(change, "owner")),
)
