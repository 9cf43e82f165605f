"""Dependencies of the routes: the gateway, the limits on bodies, and the authenticated caller."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.administration import Administration
from app.api.body import BodyCaps
from app.api.guard import Guard
from app.api.open_bodies import OpenBodies
from app.control import sessions
from app.core import keys
from app.core.actors import Actor
from app.core.browsers import NOT_OURS, is_own_request, session_cookie
from app.core.grants import Grant
from app.errors import InvalidApiKey, PermissionDenied
from app.images.admission import INVALID_KEY
from app.images.forms import AnswerForms
from app.images.links import PictureLinks
from app.store.sign_in import Session
from app.wiring import Gateway

K = TypeVar("K")
_NO_HMAC = b"\0" * 32
"""HMAC to compare with when the key is unknown, so that the check takes as long as for a known key."""
MISSING_KEY = "You didn't provide an API key. Send it as: Authorization: Bearer YOUR_KEY"


@dataclass(frozen=True, slots=True)
class Parts:
    """Objects that the routes work with. The routes are made once in a process, whatever it serves; the parts belong to one
    application. `local_actor` is set by the command line only, for calls in its own process, which need no key."""

    gateway: Administration
    guard: Guard | None
    open_bodies: OpenBodies | None
    body_caps: BodyCaps
    links: PictureLinks | None = None
    forms: AnswerForms | None = None
    public_url: str | None = None
    local_actor: Actor | None = None


class WithParts:
    """ASGI layer that puts `parts` in the scope of each request."""

    def __init__(self, app: ASGIApp, parts: Parts):
        self.app = app
        self.parts = parts

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope.setdefault("state", {})["parts"] = self.parts
        return self.app(scope, receive, send)


def parts(request: Request) -> Parts:
    """Return the parts of the application that got this request."""
    found: Parts = request.scope["state"]["parts"]
    return found


def guard(request: Request) -> Guard:
    """Return the limits per address. Applications of the command line have none and do not ask."""
    found = parts(request).guard
    assert found is not None
    return found


def links(request: Request) -> PictureLinks:
    """Return the signer of links to pictures. Applications of the command line have none and do not ask."""
    found = parts(request).links
    assert found is not None
    return found


def forms(request: Request) -> AnswerForms:
    """Return the converter of answers. Applications of the command line have none and do not ask."""
    found = parts(request).forms
    assert found is not None
    return found


def open_bodies(request: Request) -> OpenBodies:
    """Return the bounds on open bodies. Applications of the command line have none and do not ask."""
    found = parts(request).open_bodies
    assert found is not None
    return found


def body_caps(request: Request) -> BodyCaps:
    """Return the most bytes that bodies may have."""
    return parts(request).body_caps


def wired(request: Request) -> Gateway:
    """Return the gateway. Applications of the command line have its administration only and do not ask."""
    gateway = parts(request).gateway
    assert isinstance(gateway, Gateway)
    return gateway


# Async although nothing is awaited: FastAPI would run a plain function in a thread.
async def _wired(request: Request) -> Gateway:
    return wired(request)


Wired = Annotated[Gateway, Depends(_wired)]


async def authenticated(request: Request, find: Callable[[str], Awaitable[K | None]], wrong: str) -> K:
    """Return what `find` has for the secret in `Authorization: Bearer ...`, the only place for a key. Otherwise count a bad key for
    the client's address and raise InvalidApiKey, with the message `wrong` where something was sent. Raises RateLimited."""
    given = request.headers.getlist("authorization")
    scheme, _, secret = (given[0] if len(given) == 1 else "").partition(" ")
    found = await find(secret.strip(" ")) if scheme.lower() == "bearer" else None
    if found is None:
        guard(request).count_bad_key(request)
        raise InvalidApiKey(wrong if secret else MISSING_KEY)
    return found


async def caller(request: Request) -> Grant:
    """Authenticate the key in `Authorization: Bearer ...`, before the body is read. Other places for a key are not supported.

    Raises InvalidApiKey, RateLimited, StoreUnavailable.
    """
    gateway = wired(request)
    grant = await authenticated(request, lambda secret: _grant(gateway, secret), INVALID_KEY)
    request.state.key_id = grant.key_id
    return grant


Caller = Annotated[Grant, Depends(caller)]


async def session_of_request(request: Request) -> Session | None:
    """Return the session that the browser's cookie names; None without one that can be used.

    Raises PermissionDenied for a change that a page of another site may have made the browser send, StoreUnavailable.
    """
    found = parts(request)
    token = request.cookies.get(session_cookie(found.public_url))
    if token is None or found.gateway.schema_gate.problem is not None:
        return None
    session = await sessions.session_of(found.gateway.database, token, found.gateway.clock.now_ms())
    if session is None:
        return None
    if request.method not in ("GET", "HEAD") and not is_own_request(request.headers, found.public_url):
        raise PermissionDenied(NOT_OURS)
    request.scope["state"]["key_id"] = session.id
    return session


async def counted_models_call(request: Request, _: Caller) -> None:
    """Count an authenticated call of /models. Raises RateLimited above the limit of this address."""
    guard(request).count_models_call(request)


async def counted_own_call(request: Request, _: Caller) -> None:
    """Count an authenticated call of a route about the caller's own key. Raises RateLimited above the limit of this address."""
    guard(request).count_own_call(request)


async def _grant(gateway: Gateway, secret: str) -> Grant | None:
    """Look up and verify a key. Return None for one that is malformed, unknown, wrong or not usable now; the last three take
    the same time."""
    key_id = keys.key_id(secret)
    if key_id is None:
        return None
    grant = await gateway.grant(key_id)
    now_ms = gateway.clock.now_ms()
    hmacs = grant.hmacs_at(now_ms) if grant else [_NO_HMAC]
    under = gateway.peppers.under(secret, hmacs)
    if under is None or grant is None or not grant.usable_at(now_ms):
        return None
    if under != gateway.peppers.current:
        gateway.key_rehasher.start(key_id, secret)
    return grant
