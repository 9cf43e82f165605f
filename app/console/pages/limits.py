"""Page of the limits: for owners and readers those of everybody, with requests for more; for members their own, where they ask."""

from typing import Any, get_args

from starlette.responses import Response

from app.api.schemas.limit_increases import LimitIncreaseOut
from app.api.schemas.limits import LimitOut
from app.console.language import marked as _
from app.console.limit_forms import INTERVALS, SCOPES, UNITS, LimitInput, amount_of, limit_values, matrix
from app.console.visit import Visit, local_path, signed_in
from app.control import limit_increases, models
from app.control.increase_messages import tell_owners
from app.control.limit_increases import Duration, limits_to_raise
from app.control.limit_lists import LimitOwner, OwnedScope, limits_of_all, page_of_limit_owners
from app.control.served_address import served_address
from app.core.limits import LimitScope
from app.errors import Conflict, GatewayError, InvalidValue
from app.store.pages import Cursor

PAGE_ROWS = 50
DECIDED_MAX = 20
OPEN_MAX = 50
_NEAREST: tuple[LimitScope, ...] = ("user", "project", "organization")
"""Order of a member's limits: their own first."""
TABS: tuple[OwnedScope, ...] = get_args(OwnedScope)


async def show_limits(visit: Visit) -> Response:
    """Show everybody's limits, or a member's own."""
    return await (_all_page(visit) if visit.sees_all else _own_page(visit))


async def set_limit(visit: Visit) -> Response:
    """Set, remove or raise one limit, and lead back to where the form stood."""
    fields = await visit.form()
    form = LimitInput.from_fields(fields)
    try:
        await form.apply(visit, remove=fields.get("do") == "remove")
    except GatewayError as exc:
        return await _all_page(visit, form, exc)
    following = local_path(fields.get("next", "")) or "/limits"
    return visit.redirect(f"{following}{'&' if '?' in following else '?'}done=limit")


async def ask(visit: Visit) -> Response:
    """Ask owners for more of a limit. They are told by mail and chat, where those are set."""
    fields = await visit.form()
    limit_id, reason = fields.get("limit", ""), fields.get("reason", "")
    try:
        asked = await _ask(visit, limit_id, fields.get("amount", ""), reason)
    except GatewayError as exc:
        return await _own_page(visit, {"limit": limit_id, "amount": fields.get("amount", ""), "reason": reason}, exc)
    gateway = visit.parts.gateway
    try:
        address = served_address(visit.parts.public_url, gateway.data_dir)
    except Conflict:
        address = None
    telling = tell_owners(gateway.database, gateway.notifier, gateway.zone, asked, gateway.currency, address)
    gateway.background.start(telling)
    return visit.redirect("/limits", done="asked")


async def decide(visit: Visit) -> Response:
    """Approve or decline a request for more."""
    fields, id = await visit.form(), visit.request.path_params["increase_id"]
    answer = fields.get("answer", "")
    try:
        if fields.get("do") == "decline":
            await limit_increases.decline_increase(visit.database, id, answer)
            return visit.redirect("/limits", done="declined")
        await _approve(visit, id, fields.get("amount", ""), fields.get("duration", ""), answer)
    except (InvalidValue, Conflict) as exc:
        return await _all_page(visit, None, exc)
    return visit.redirect("/limits", done="approved")


async def _ask(visit: Visit, limit_id: str, amount: str, reason: str) -> str:
    found = await limits_to_raise(visit.database, visit.parts.gateway.zone, visit.user.user_id)
    limit = next((each.limit for each in found if f"limit_{each.limit.id}" == limit_id), None)
    if limit is None:
        raise InvalidValue(_("Choose a limit of the list."), param="limit")
    wanted = amount_of(limit.unit, amount)
    return (await limit_increases.ask_for_more(visit.database, visit.user.user_id, limit.id, wanted, reason)).id


async def _approve(visit: Visit, id: str, amount: str, duration: str, answer: str) -> None:
    zone = visit.parts.gateway.zone
    chosen: Duration | None = next((each for each in get_args(Duration) if each == duration), None)
    if chosen is None:
        raise InvalidValue(_("Say until when the limit is raised."), param="duration")
    state = await limit_increases.show_increase(visit.database, zone, id)
    granted = amount_of(state.limit.limit.unit, amount) if state.limit is not None else None
    await limit_increases.approve_increase(visit.database, zone, id, chosen, granted, answer)


async def _all_page(visit: Visit, form: LimitInput | None = None, error: GatewayError | None = None) -> Response:
    database, zone = visit.database, visit.parts.gateway.zone
    chosen = next((each for each in TABS if each == visit.query.get("scope")), None)
    words = visit.query.get("q", "").strip()[:200]
    owners, more = await _owners(visit, chosen, words)
    kinds, rows = matrix(owners)
    waiting = await limit_increases.page_of_increases(database, zone, Cursor(limit=OPEN_MAX), "open")
    past = Cursor(limit=DECIDED_MAX, descending=True)
    recent = (await limit_increases.page_of_increases(database, zone, past)).records
    if form is None and visit.query.get("new"):
        form = LimitInput.from_fields({"scope": chosen or "everyone"} | dict(visit.query))
    return visit.render(
        "limits.html",
        chosen=chosen,
        tabs=TABS,
        words=words,
        after=visit.query.get("after"),
        kinds=kinds,
        rows=rows,
        more=more,
        open=[LimitIncreaseOut.of(each) for each in waiting.records],
        decided=[LimitIncreaseOut.of(each) for each in recent if each.increase.state != "open"],
        form=form,
        error=error,
        scopes=SCOPES,
        units=UNITS,
        intervals=INTERVALS,
        models=[row.model for row in await models.list_models(database)] if form else [],
        **await limit_values(visit),
    )


async def _owners(
    visit: Visit, chosen: OwnedScope | None, words: str
) -> tuple[list[tuple[LimitScope, LimitOwner]], str | None]:
    """Read the owners of the limits in a tab, and the cursor of the next page, if there is one."""
    database, zone = visit.database, visit.parts.gateway.zone
    if chosen is None:
        found: dict[tuple[LimitScope, str, str], list[Any]] = {("organization", "", ""): []}
        for state in await limits_of_all(database, zone):
            key = (state.limit.scope, state.limit.scope_id, state.limit.owner)
            found.setdefault(key, []).append(state)
        return [(scope, LimitOwner(id, name, tuple(states))) for (scope, id, name), states in found.items()], None
    page = await page_of_limit_owners(database, zone, chosen, Cursor(visit.query.get("after"), PAGE_ROWS), words)
    more = page.records[-1].id if page.has_more else None
    return [(chosen, owner) for owner in page.records], more


async def _own_page(visit: Visit, asked: dict[str, str] | None = None, error: GatewayError | None = None) -> Response:
    database, zone, user_id = visit.database, visit.parts.gateway.zone, visit.user.user_id
    states = await limits_to_raise(database, zone, user_id)
    past = Cursor(limit=DECIDED_MAX, descending=True)
    page = await limit_increases.page_of_increases(database, zone, past, user_id=user_id)
    return visit.render(
        "my_limits.html",
        limits=[LimitOut.of(each) for each in sorted(states, key=lambda each: _NEAREST.index(each.limit.scope))],
        increases=[LimitIncreaseOut.of(each) for each in page.records],
        asked=asked or {"limit": visit.query.get("ask", ""), "amount": "", "reason": ""},
        error=error,
        **await limit_values(visit),
    )


routes = (
    ("GET", "/limits", signed_in(show_limits)),
    ("POST", "/limits", signed_in(set_limit, "owner")),
    ("POST", "/limits/asks", signed_in(ask, "member")),
    ("POST", "/limits/asks/{increase_id}", signed_in(decide, "owner")),
)
