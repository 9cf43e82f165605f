"""Page about oneself: password, and the browsers one is signed in with."""

from starlette.responses import Response

from app.api.schemas.sign_in import SessionOut
from app.console.visit import Visit, signed_in
from app.control import sessions
from app.control.passwords import CHARS_MIN
from app.errors import InvalidValue
from app.store.pages import Cursor


async def show_account(visit: Visit) -> Response:
    """Show who is signed in, and where."""
    return await _page(visit)


async def set_password(visit: Visit) -> Response:
    """Change the password; other browsers are signed out."""
    visit.parts.guard.count_sign_in(visit.request)
    form = await visit.form()
    if form.get("password") != form.get("again"):
        return await _page(visit, "different")
    try:
        await sessions.change_password(visit.database, visit.user, form.get("current", ""), form.get("password", ""))
    except InvalidValue as exc:
        return await _page(visit, exc.param or "")
    return visit.redirect("/account", done="password")


async def end_session(visit: Visit) -> Response:
    """Sign out another browser of one's own. Raises NotFound for somebody else's."""
    await sessions.revoke_session(visit.database, visit.request.path_params["session_id"], visit.user.user_id)
    return visit.redirect("/account", done="session")


async def _page(visit: Visit, failed: str = "") -> Response:
    found = await sessions.page_of_sessions(visit.database, Cursor(limit=50, descending=True), visit.user.user_id)
    return visit.render(
        "account.html",
        status=400 if failed else 200,
        sessions=[SessionOut.of(session) for session in found.records],
        failed=failed,
        done=visit.query.get("done", ""),
        chars_min=CHARS_MIN,
    )


routes = (
    ("GET", "/account", signed_in(show_account)),
    ("POST", "/account/password", signed_in(set_password)),
    ("POST", "/account/sessions/{session_id}/end", signed_in(end_session)),
)
