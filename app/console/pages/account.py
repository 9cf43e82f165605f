"""Page about oneself: password, weekly note, and the browsers one is signed in with."""

from typing import get_args

from starlette.responses import Response

from app.api.schemas.sign_in import SessionOut
from app.console.visit import Visit, signed_in
from app.control import sessions
from app.control.passwords import CHARS_MIN
from app.control.weekly_notes import NoteWay, set_note
from app.errors import InvalidValue
from app.store.pages import Cursor
from app.store.weekly_notes import find_subscription

WAYS: tuple[NoteWay, ...] = get_args(NoteWay)


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


async def set_weekly_note(visit: Visit) -> Response:
    """Turn the weekly note on or off, in the language of the page."""
    form, gateway = await visit.form(), visit.parts.gateway
    way: NoteWay = next((way for way in WAYS if way == form.get("way")), "off")
    chat_url, language = form.get("chat_url", ""), visit.language
    try:
        await set_note(visit.database, gateway.notifier, visit.user, way, chat_url, language, gateway.zone)
    except InvalidValue as exc:
        return await _page(visit, note_failed=exc.message)
    return visit.redirect("/account", done="note")


async def end_session(visit: Visit) -> Response:
    """Sign out another browser of one's own. Raises NotFound for somebody else's."""
    await sessions.revoke_session(visit.database, visit.request.path_params["session_id"], visit.user.user_id)
    return visit.redirect("/account", done="session")


async def _page(visit: Visit, failed: str = "", note_failed: str = "") -> Response:
    found = await sessions.page_of_sessions(visit.database, Cursor(limit=50, descending=True), visit.user.user_id)
    return visit.render(
        "account.html",
        status=400 if failed or note_failed else 200,
        sessions=[SessionOut.of(session) for session in found.records],
        failed=failed,
        note=await visit.database.ask(find_subscription, visit.user.user_id),
        note_failed=note_failed,
        can_mail=visit.parts.gateway.notifier.mailbox.host is not None and visit.user.email is not None,
        chars_min=CHARS_MIN,
    )


routes = (
    ("GET", "/account", signed_in(show_account)),
    ("POST", "/account/password", signed_in(set_password)),
    ("POST", "/account/note", signed_in(set_weekly_note)),
    ("POST", "/account/sessions/{session_id}/end", signed_in(end_session)),
)
