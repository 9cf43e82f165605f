"""Page of a one-time link: looking at it does not use it up, sending its form does."""

from starlette.responses import Response

from app.console.visit import Visit
from app.control.invitations import accept_invitation, open_invitation
from app.control.passwords import CHARS_MIN
from app.errors import Conflict, InvalidValue


async def show_invitation(visit: Visit) -> Response:
    """Show whose link it is, and the form for the password. Raises NotFound for a link that works no more."""
    invitation = await open_invitation(visit.parts.gateway.database, visit.request.path_params["token"])
    return _page(visit, invitation)


async def use_invitation(visit: Visit) -> Response:
    """Set the password and sign in. Raises NotFound for a link that works no more."""
    token, database = visit.request.path_params["token"], visit.parts.gateway.database
    visit.parts.guard.count_sign_in(visit.request)
    form = await visit.form()
    invitation = await open_invitation(database, token)
    if form.get("password") != form.get("again"):
        return _page(visit, invitation, "different")
    try:
        session = await accept_invitation(
            database, token, form.get("password", ""), visit.browser, form.get("email") or None
        )
    except (InvalidValue, Conflict) as exc:
        return _page(visit, invitation, exc.param or "")
    answer = visit.redirect()
    visit.sign_in(answer, session)
    return answer


def _page(visit: Visit, invitation: object, failed: str = "") -> Response:
    status = 400 if failed else 200
    return visit.render("invite.html", status=status, invitation=invitation, failed=failed, chars_min=CHARS_MIN)


routes = (
    ("GET", "/invite/{token}", show_invitation),
    ("POST", "/invite/{token}", use_invitation),
)
