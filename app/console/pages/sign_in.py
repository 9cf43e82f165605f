"""Page to sign in with a password, and the way out."""

from starlette.responses import Response

from app.console.visit import Visit, local_path, signed_in
from app.control import sessions
from app.core.browsers import session_cookie


async def show_sign_in(visit: Visit) -> Response:
    """Show the form; whoever is signed in goes on."""
    if visit.session is not None:
        return visit.redirect()
    return visit.render("sign_in.html", failed=False, email="", following=local_path(visit.query.get("next", "")))


async def sign_in(visit: Visit) -> Response:
    """Start a session. A wrong password, an unknown address and a disabled person get one answer, after one time.

    Attempts are counted for the client's address, and failed ones for the account. Raises RateLimited.
    """
    visit.parts.guard.count_sign_in(visit.request)
    form = await visit.form()
    email, following = form.get("email", "")[:254], local_path(form.get("next", ""))
    visit.parts.guard.check_account(email)
    session = await sessions.sign_in(visit.parts.gateway.database, email, form.get("password", ""), visit.browser)
    if session is None:
        visit.parts.guard.count_failed_sign_in(email)
        return visit.render("sign_in.html", status=401, failed=True, email=email, following=following)
    answer = visit.redirect(following)
    visit.sign_in(answer, session)
    return answer


async def sign_out(visit: Visit) -> Response:
    """End the session, here and in the database."""
    await sessions.sign_out(visit.database, visit.user)
    answer = visit.redirect("/sign-in")
    visit.set_cookie(answer, session_cookie(visit.parts.public_url), "", 0)
    return answer


routes = (
    ("GET", "/sign-in", show_sign_in),
    ("POST", "/sign-in", sign_in),
    ("POST", "/sign-out", signed_in(sign_out)),
)
