"""Ways to the OIDC provider and back. There is no page of its own: what went wrong is told on the page about errors."""

from hmac import compare_digest

from starlette.responses import RedirectResponse, Response

from app.console.language import marked as _
from app.console.visit import Visit
from app.control.served_address import served_address
from app.control.sessions import new_token
from app.control.single_sign_on import NOT_SIGNED_IN, Attempt, SingleSignOn
from app.core.browsers import session_cookie
from app.errors import NotFound, PermissionDenied

ATTEMPT_S = 600


async def start(visit: Visit) -> Response:
    """Send the browser to the provider, with a cookie that only this browser comes back with."""
    provider, attempt = _provider(visit), _attempt(visit, new_token())
    visit.parts.guard.count_sign_in(visit.request)
    answer = RedirectResponse(await provider.authorization_url(attempt), 303)
    visit.set_cookie(answer, _cookie(visit), attempt.secret, ATTEMPT_S)
    return answer


async def come_back(visit: Visit) -> Response:
    """Sign in whoever the provider names. Raises PermissionDenied for another browser's attempt and for people not invited."""
    provider, secret = _provider(visit), visit.request.cookies.get(_cookie(visit), "")
    visit.parts.guard.count_sign_in(visit.request)
    attempt = _attempt(visit, secret)
    if not secret or not compare_digest(attempt.state, visit.query.get("state", "")) or "code" not in visit.query:
        raise PermissionDenied(NOT_SIGNED_IN)
    claims = await provider.claims(attempt, visit.query["code"])
    session = await provider.sign_in(visit.parts.gateway.database, claims, visit.browser)
    answer = visit.redirect()
    visit.sign_in(answer, session)
    visit.set_cookie(answer, _cookie(visit), "", 0)
    return answer


def _provider(visit: Visit) -> SingleSignOn:
    if visit.parts.sign_on is None:
        raise NotFound(_("There is no such page."))
    return visit.parts.sign_on


def _attempt(visit: Visit, secret: str) -> Attempt:
    address = served_address(visit.parts.public_url, visit.parts.gateway.data_dir)
    return Attempt(secret, f"{address}/console/oidc/callback")


def _cookie(visit: Visit) -> str:
    return f"{session_cookie(visit.parts.public_url)}-attempt"


routes = (
    ("GET", "/oidc/start", start),
    ("GET", "/oidc/callback", come_back),
)
