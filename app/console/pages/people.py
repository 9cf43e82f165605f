"""Pages of people: a list of everybody, one person with role, limits and keys, and what stops when somebody leaves."""

from starlette.responses import Response

from app.api.schemas.limits import LimitOut
from app.console.language import marked as _
from app.console.limit_forms import limit_values
from app.console.pages.people_invite import links_page
from app.console.visit import Visit, signed_in
from app.control import invitations, limits, people
from app.control.deletion import leaving_preview
from app.control.limits import ScopeRef
from app.control.people import ACCESS_ROLES, UserChange
from app.control.people_lists import page_of_people
from app.control.served_address import served_address
from app.errors import Conflict, GatewayError, InvalidValue
from app.store.organization import User
from app.store.pages import Cursor
from app.store.people_lists import PeopleFilter, PeopleStatus

PAGE_ROWS = 50
STATUSES: dict[str, PeopleStatus | None] = {"active": "active", "never": "never", "disabled": "disabled", "all": None}


async def list_people(visit: Visit) -> Response:
    """List people by name, with what they spent this month and what is left."""
    status, words = visit.query.get("status", "active"), visit.query.get("q", "").strip()[:200]
    wanted = PeopleFilter(words, STATUSES.get(status, "active"))
    cursor = Cursor(after=visit.query.get("after"), limit=PAGE_ROWS)
    page = await page_of_people(visit.database, visit.parts.gateway.zone, cursor, wanted)
    rows = [(each, None if each.limit is None else LimitOut.of(each.limit)) for each in page.records]
    more = page.records[-1].user.id if page.has_more else None
    filters = {"q": words, "status": status}
    return visit.render("people.html", rows=rows, filters=filters, statuses=STATUSES, more=more)


async def show_person(visit: Visit) -> Response:
    """Show one person."""
    return await _page(visit, await _user(visit))


async def set_role(visit: Visit) -> Response:
    """Give a person another role. The last owner stays one. The role that they have changes nothing."""
    user, form = await _user(visit), await visit.form()
    try:
        await people.modify_user(visit.database, user.id, UserChange(access_role=form.get("role", "")))
    except (InvalidValue, Conflict) as exc:
        return await _page(visit, user, exc)
    is_changed = form.get("role") != user.access_role
    return visit.redirect(f"/people/{user.id}", done="role" if is_changed else None)


async def make_link(visit: Visit) -> Response:
    """Make a new one-time link for a person and show it, once. It replaces one that was not used."""
    user, gateway = await _user(visit), visit.parts.gateway
    try:
        address = served_address(visit.parts.public_url, gateway.data_dir)
        if user.email is None:
            raise InvalidValue(_("This person has no address to sign in with."), param="email")
        new = await invitations.invite(visit.database, user.email)
    except (InvalidValue, Conflict) as exc:
        return await _page(visit, user, exc)
    return await links_page(visit, [new], address)


async def show_leaving(visit: Visit) -> Response:
    """Show what stops when a person leaves. Changes nothing."""
    return await _leaving_page(visit, await _user(visit))


async def leave(visit: Visit) -> Response:
    """Disable a person: their keys and sessions stop. Usage, pictures and limits stay."""
    user = await _user(visit)
    try:
        await people.modify_user(visit.database, user.id, UserChange(disabled=True))
    except Conflict as exc:
        return await _leaving_page(visit, user, exc)
    return visit.redirect(f"/people/{user.id}", done="left")


async def come_back(visit: Visit) -> Response:
    """Let a disabled person work again."""
    user = await _user(visit)
    await people.modify_user(visit.database, user.id, UserChange(disabled=False))
    return visit.redirect(f"/people/{user.id}", done="back")


async def _user(visit: Visit) -> User:
    """Return the person that the address names. Raises NotFound."""
    user, _projects = await people.show_user(visit.database, visit.request.path_params["user_id"])
    return user


async def _page(visit: Visit, user: User, error: GatewayError | None = None) -> Response:
    database, zone = visit.database, visit.parts.gateway.zone
    page = await page_of_people(database, zone, Cursor(limit=1), PeopleFilter(user.id))
    states = await limits.show_limits(database, zone, ScopeRef("user", user.id))
    return visit.render(
        "person.html",
        person=page.records[0],
        limits=[LimitOut.of(state) for state in states],
        roles=ACCESS_ROLES,
        error=error,
        **await limit_values(visit),
    )


async def _leaving_page(visit: Visit, user: User, error: GatewayError | None = None) -> Response:
    preview = await leaving_preview(visit.database, user.id)
    return visit.render("person_leaving.html", preview=preview, error=error)


routes = (
    ("GET", "/people", signed_in(list_people, "owner", "reader")),
    ("GET", "/people/{user_id}", signed_in(show_person, "owner", "reader")),
    ("POST", "/people/{user_id}/role", signed_in(set_role, "owner")),
    ("POST", "/people/{user_id}/link", signed_in(make_link, "owner")),
    ("GET", "/people/{user_id}/leaving", signed_in(show_leaving, "owner")),
    ("POST", "/people/{user_id}/leaving", signed_in(leave, "owner")),
    ("POST", "/people/{user_id}/return", signed_in(come_back, "owner")),
)
