"""Page for the owner of a new installation: oneself, the relay's key, prices, the first key. Can be left and resumed."""

from starlette.responses import Response

from app.console.navigation import landing
from app.console.price_grid import price_grids
from app.console.visit import PREFERENCE_S, Visit, signed_in
from app.control.keys import KeyFilter, page_of_keys
from app.control.relays import get_relay
from app.core.request import DEFAULT_RELAY
from app.store.pages import Cursor
from app.store.prices import read_catalog
from app.store.requests import any_purchase

LEFT_COOKIE = "imagegate_welcome"
"""Cookie of a browser in which an owner has left the page, so that signing in leads elsewhere again."""


async def show_welcome(visit: Visit) -> Response:
    """Show the four steps. `test` in the address asks the relay, which takes up to half a minute."""
    gateway = visit.parts.gateway
    if gateway.sandbox:
        return visit.redirect(landing(visit.role))
    relay = await visit.database.ask(get_relay, DEFAULT_RELAY)
    state = await visit.parts.relay_watches.look(relay, now="test" in visit.query)
    account, now_ms = state.account if state is not None else None, gateway.clock.now_ms()
    catalog = await visit.database.ask(read_catalog)
    offered = state.offered if state is not None else None
    own = KeyFilter(user=visit.user.user_id, status="active")
    return visit.render(
        "welcome.html",
        state=state,
        left_micros=gateway.reconciliations.bills.left_micros(relay, account),
        has_relay_key=gateway.settings.upstream_api_key is not None,
        address=gateway.upstream.base_url,
        listed=[
            (model, price_grids(model, now_ms), offered is None or model.id in offered)
            for model in catalog.models.values()
        ],
        has_key=bool((await page_of_keys(visit.database, Cursor(limit=1), own)).records),
        has_bought=await visit.database.ask(any_purchase),
        base_url=f"{visit.address}/v1",
    )


async def leave(visit: Visit) -> Response:
    """Lead elsewhere from now on. The page stays where it is."""
    answer = visit.redirect(landing(visit.role))
    visit.set_cookie(answer, LEFT_COOKIE, "left", PREFERENCE_S)
    return answer


async def wants_welcome(visit: Visit) -> bool:
    """True for an owner of a new installation who has not left the page."""
    if visit.role != "owner" or visit.parts.gateway.sandbox or LEFT_COOKIE in visit.request.cookies:
        return False
    return not await visit.database.ask(any_purchase)


routes = (
    ("GET", "/welcome", signed_in(show_welcome, "owner", "reader")),
    ("POST", "/welcome/leave", signed_in(leave, "owner")),
)
