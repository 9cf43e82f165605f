"""Page of the API keys: list, create, rotate, revoke. Members see and change their own, readers look, owners do everything."""

from starlette.responses import Response

from app.api.schemas.keys import ApiKeyOut
from app.api.schemas.limits import LimitOut
from app.console.choices import all_projects
from app.console.key_badges import badges, tightest
from app.console.key_forms import GRACES, LIFETIMES, KeyForm
from app.console.language import marked as _
from app.console.visit import Visit, signed_in
from app.control import keys, members, models
from app.control.keys import CreatedKey, KeyFilter, page_of_keys, rotate_key
from app.control.limits import limits_of_keys
from app.control.project_keys import create_project_key, delete_project_key
from app.errors import Conflict, GatewayError, NotFound, PermissionDenied
from app.store.keys import KeyRecord, KeyStatus
from app.store.pages import Cursor

PAGE_ROWS = 50
STATUSES: dict[str, KeyStatus | None] = {"active": "active", "expired": "expired", "revoked": "revoked", "all": None}


async def list_keys(visit: Visit) -> Response:
    """List keys, newest first: one's own, or for owners and readers everybody's."""
    chosen = visit.query.get("status", "active")
    status, words = STATUSES.get(chosen, "active"), visit.query.get("q", "").strip()[:200] or None
    user = visit.query.get("user") if visit.sees_all else visit.user.user_id
    limit = "none" if visit.query.get("limit") == "none" else None
    project = visit.query.get("project") or None
    wanted = KeyFilter(user=user or None, project=project, status=status, words=words, without_limit=limit is not None)
    cursor = Cursor(after=visit.query.get("after"), limit=PAGE_ROWS, descending=True)
    page = await page_of_keys(visit.database, cursor, wanted)
    now_ms = visit.parts.gateway.clock.now_ms()
    limits = await limits_of_keys(visit.database, visit.parts.gateway.zone, page.records)
    rows = [
        {
            "key": ApiKeyOut.at(key, now_ms),
            "limit": None if (used := tightest(limits[key.id])) is None else LimitOut.of(used),
            "badges": badges(key, limits[key.id], now_ms),
        }
        for key in page.records
    ]
    filters = {"q": words, "status": chosen, "project": project, "user": visit.query.get("user"), "limit": limit}
    more = page.records[-1].id if page.has_more else None
    return visit.render("keys.html", rows=rows, filters=filters, more=more, may_create=_may_change(visit))


async def show_key(visit: Visit) -> Response:
    """Show one key with its limits and what can be done with it."""
    return await _key_page(visit, await _visible(visit))


async def show_form(visit: Visit) -> Response:
    """Show the form for a new key."""
    _check_may_change(visit)
    return await _form_page(visit, KeyForm())


async def create_key(visit: Visit) -> Response:
    """Create a key and show its secret, once. A member makes keys for themselves, in projects they are in."""
    _check_may_change(visit)
    form = KeyForm.from_items(await visit.form_items())
    choices = dict(await _projects(visit))
    try:
        if form.project not in choices:
            raise NotFound(_("There is no such project, or you are not in it."))
        owner = form.user if visit.role == "owner" and form.user else visit.user.user_id
        wanted = form.wanted(owner)
        created = await create_project_key(visit.database, visit.parts.gateway.pepper, form.project, wanted)
    except GatewayError as exc:
        return await _form_page(visit, form, exc)
    return await _secret_page(visit, created)


async def rotate(visit: Visit) -> Response:
    """Give a key a new secret and show it, once. The form says what becomes of the old one; `leaked` stops it at once."""
    key, form = await _changeable(visit), await visit.form()
    if form.get("grace") not in GRACES:
        return await _key_page(visit, key, "grace")
    try:
        created = await rotate_key(visit.database, visit.parts.gateway.pepper, key.id, GRACES[form["grace"]])
    except Conflict:
        return await _key_page(visit, key, "state")
    return await _secret_page(visit, created, form["grace"])


async def revoke(visit: Visit) -> Response:
    """Revoke a key for good."""
    key = await _changeable(visit)
    await delete_project_key(visit.database, key.project_id, key.id)
    return visit.redirect(f"/keys/{key.id}", done="revoked")


async def _key_page(visit: Visit, key: KeyRecord, failed: str = "") -> Response:
    now_ms = visit.parts.gateway.clock.now_ms()
    limits = (await limits_of_keys(visit.database, visit.parts.gateway.zone, [key]))[key.id]
    return visit.render(
        "key.html",
        status=400 if failed else 200,
        key=ApiKeyOut.at(key, now_ms),
        limits=[LimitOut.of(state) for state in limits],
        badges=badges(key, limits, now_ms),
        graces=GRACES,
        has_secret=key.has_secret,
        may_change=_may_change(visit) and key.has_secret,
        failed=failed,
    )


async def _form_page(visit: Visit, form: KeyForm, error: GatewayError | None = None) -> Response:
    catalog = [row.model for row in await models.list_models(visit.database)]
    return visit.render(
        "key_form.html",
        status=400 if error else 200,
        form=form,
        error=error,
        projects=await _projects(visit),
        lifetimes=LIFETIMES,
        models=catalog,
    )


async def _secret_page(visit: Visit, created: CreatedKey, grace: str = "") -> Response:
    key = await visit.database.ask(keys.get_key, created.id)
    out, base_url = ApiKeyOut.at(key, visit.parts.gateway.clock.now_ms()), f"{visit.address}/v1"
    return visit.render("key_secret.html", secret=True, key=out, value=created.key, base_url=base_url, grace=grace)


async def _projects(visit: Visit) -> list[tuple[str, str]]:
    """List id and name of the projects that a new key can be for: of owners all, of others their own."""
    if visit.role == "owner":
        return await all_projects(visit, include_archived=False)
    return await members.active_projects_of(visit.database, visit.user.user_id)


async def _visible(visit: Visit) -> KeyRecord:
    """Return the key that the address names. Raises NotFound, to members also for somebody else's key."""
    key = await visit.database.ask(keys.get_key, visit.request.path_params["key_id"])
    if not visit.sees_all and key.user_id != visit.user.user_id:
        raise NotFound(_("There is no such key, or it is somebody else's."))
    return key


async def _changeable(visit: Visit) -> KeyRecord:
    key = await _visible(visit)
    _check_may_change(visit)
    return key


def _may_change(visit: Visit) -> bool:
    return visit.role == "owner" or (visit.role == "member" and visit.parts.member_keys)


def _check_may_change(visit: Visit) -> None:
    if not _may_change(visit):
        raise PermissionDenied(_("Owners make and change keys here. Ask one of them."))


routes = (
    ("GET", "/keys", signed_in(list_keys)),
    ("GET", "/keys/new", signed_in(show_form)),
    ("POST", "/keys", signed_in(create_key)),
    ("GET", "/keys/{key_id}", signed_in(show_key)),
    ("POST", "/keys/{key_id}/rotate", signed_in(rotate)),
    ("POST", "/keys/{key_id}/revoke", signed_in(revoke)),
)
