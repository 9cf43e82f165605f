"""Visit: one request of a browser to the console, with whoever is signed in, and the answers a page can give."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console.language import LANGUAGES, Language, preferred_language
from app.console.language import marked as _
from app.console.parts import ConsoleParts
from app.control import sessions
from app.core.actors import AccessRole
from app.core.browsers import is_https, public_path, session_cookie
from app.errors import BadRequest, BodyTooLarge, GatewayError, NotFound, StoreUnavailable
from app.store.engine import AWAY, Database
from app.store.sign_in import Session

PREFIX = "/console"
FORM_BYTES_MAX = 64 * 1024
FORM_TIMEOUT_S = 30.0
LANGUAGE_COOKIE, THEME_COOKIE = "imagegate_language", "imagegate_theme"
THEMES = ("auto", "light", "dark")
PREFERENCE_S = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Visit:
    """Request of a browser to the console. `session` is None where nobody is signed in."""

    request: Request
    parts: ConsoleParts
    session: Session | None

    @property
    def user(self) -> Session:
        """Session of whoever is signed in. Pages without `signed_in` must not ask."""
        assert self.session is not None
        return self.session

    @property
    def role(self) -> AccessRole:
        return self.user.access_role

    @property
    def sees_all(self) -> bool:
        """True for owners and readers, who see everybody's money and metadata."""
        return self.role != "member"

    @property
    def database(self) -> Database:
        """Database that records whoever is signed in as the author of changes."""
        return self.parts.gateway.database.by(sessions.actor_of(self.user))

    @property
    def language(self) -> Language:
        chosen = self.request.cookies.get(LANGUAGE_COOKIE, "")
        known = next((language for language in LANGUAGES if language == chosen), None)
        return known or preferred_language(self.request.headers.get("accept-language", ""))

    @property
    def theme(self) -> str:
        chosen = self.request.cookies.get(THEME_COOKIE, "")
        return chosen if chosen in THEMES else "auto"

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    @property
    def here(self) -> str:
        """Path and query of this page below /console, to come back to."""
        path, query = self.request.url.path.partition(PREFIX)[2], self.request.url.query
        return f"{path}?{query}" if query else path

    def url(self, path: str = "", **query: object) -> str:
        """Return the address of a page, below the path of PUBLIC_URL. Parameters that are None or empty are left out."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return f"{public_path(self.parts.public_url)}{PREFIX}{path}{'?' if given else ''}{urlencode(given)}"

    @property
    def address(self) -> str:
        """Address of the gateway to show to this visitor: PUBLIC_URL, else the one the browser used. Not for links that are sent to
        others."""
        if self.parts.public_url is not None:
            return self.parts.public_url.rstrip("/").removesuffix("/v1")
        return f"{self.request.url.scheme}://{self.request.headers.get('host', '')}"

    async def form(self, bytes_max: int = FORM_BYTES_MAX) -> dict[str, str]:
        """Read the fields of a form; of a name given twice the last. Raises BodyTooLarge."""
        return dict(await self.form_items(bytes_max))

    async def form_items(self, bytes_max: int = FORM_BYTES_MAX) -> list[tuple[str, str]]:
        """Read the fields of a form, names given twice included. Raises BodyTooLarge, and BadRequest for one that stalls."""
        read = bytearray()
        try:
            async with asyncio.timeout(FORM_TIMEOUT_S):
                async for piece in self.request.stream():
                    read += piece
                    if len(read) > bytes_max:
                        raise BodyTooLarge(f"The form has more than {bytes_max:,} bytes; send less.")
        except TimeoutError:
            raise BadRequest("The form stalled; send it again.") from None
        text = bytes(read).decode("utf-8", "replace").replace("\0", "")
        return [(name, value.strip()) for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=1000)]

    def render(
        self,
        template: str,
        *,
        status: int = 200,
        secret: bool = False,
        error: GatewayError | None = None,
        **values: Any,
    ) -> Response:
        """Answer with a page, which has the status of the `error` that it tells. `secret`: it holds a secret, so that it is not
        compressed beside what a stranger may have sent."""
        from app.console.render import page  # Loads Jinja2, with the first page that anybody opens.

        if error is not None and status == 200:
            status = error.status
        return page(self, template, status, {"error": error, **values}, compress=not secret)

    def redirect(self, path: str = "", part: str = "", /, **query: object) -> RedirectResponse:
        """Answer a change with the page to see next; `part` is the id of the element to bring into sight."""
        return RedirectResponse(self.url(path, **query) + (f"#{part}" if part else ""), 303)

    def set_cookie(self, answer: Response, name: str, value: str, max_age_s: int) -> None:
        """Set a cookie for all of this host, Secure where browsers come over https."""
        answer.set_cookie(
            name,
            value,
            max_age=max_age_s,
            path="/",
            secure=is_https(self.parts.public_url),
            httponly=True,
            samesite="lax",
        )

    def sign_in(self, answer: Response, session: sessions.NewSession) -> None:
        """Give the browser the cookie of a session."""
        self.set_cookie(answer, session_cookie(self.parts.public_url), session.token, sessions.LIFE_MS // 1000)

    @property
    def browser(self) -> str:
        return self.request.headers.get("user-agent", "")


Handler = Callable[[Visit], Awaitable[Response]]


async def open_visit(request: Request, parts: ConsoleParts) -> Visit:
    """Find who is signed in. Raises StoreUnavailable."""
    token = request.cookies.get(session_cookie(parts.public_url))
    if token is None:
        return Visit(request, parts, None)
    if parts.gateway.schema_gate.problem is not None:
        raise StoreUnavailable(AWAY)
    session = await sessions.session_of(parts.gateway.database, token, parts.gateway.clock.now_ms())
    if session is not None:
        request.scope.setdefault("state", {})["key_id"] = session.id
    return Visit(request, parts, session)


def signed_in(handler: Handler, *roles: AccessRole) -> Handler:
    """Make a page that only people who are signed in see, of `roles` where they are given. Others sign in first or get a 404."""

    async def guarded(visit: Visit) -> Response:
        if visit.session is None:
            following = visit.here if visit.request.method == "GET" else ""
            return visit.redirect("/sign-in", next=following)
        if roles and visit.role not in roles:
            raise NotFound(_("There is no such page for you. An owner can give you another role."))
        return await handler(visit)

    return guarded


def local_path(text: str) -> str:
    """Return a path below /console that a form names as the next page; empty for anything else, such as another site."""
    plain = text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()
    return quote(text, safe="/?&=%,.:;@!$'()*+-_~") if plain else ""
