"""ASGI application of the console: routes, the rule against forged requests, security headers, pages about errors."""

from collections.abc import Awaitable, Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from app.console.assets import asset_routes
from app.console.language import marked as _
from app.console.pages import ROUTES
from app.console.parts import ConsoleParts
from app.console.visit import PREFIX, Handler, Visit, open_visit
from app.core.browsers import NOT_OURS, is_https, is_own_request
from app.errors import BadRequest, GatewayError, InternalError, MethodNotAllowed, NotFound, PermissionDenied

log = structlog.get_logger()

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}
HTTPS_HEADERS = {"cross-origin-opener-policy": "same-origin"}
"""Headers for pages over https. Browsers complain about them over plain http."""


class ConsoleApplication:
    """Pages of the console, for paths that begin with /console."""

    def __init__(self, parts: ConsoleParts):
        self.parts = parts
        pages = [Route(PREFIX + path, self._page(handler), methods=[method]) for method, path, handler in ROUTES]
        self._router = Router([*asset_routes(PREFIX), *pages], redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                rules = HEADERS | (HTTPS_HEADERS if is_https(self.parts.public_url) else {})
                pairs = [(name.encode(), value.encode()) for name, value in rules.items()]
                missing = [(name, value) for name, value in pairs if name not in given]
                message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        try:
            await self._router({**scope, "app": self}, receive, send_with_headers)
        except HTTPException as exc:
            error = MethodNotAllowed(_("This page does not take that.")) if exc.status_code == 405 else _no_page()
            answer = await self._error(Request(scope, receive), error)
            await answer(scope, receive, send_with_headers)

    def _page(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return await self._answer(request, handler)

        return serve

    async def _answer(self, request: Request, handler: Handler) -> Response:
        try:
            if "\0" in request.url.path or "%00" in request.url.query:
                raise _no_page()  # No address of ours holds the one character that PostgreSQL refuses in texts.
            if request.method != "GET" and not is_own_request(request.headers, self.parts.public_url):
                raise PermissionDenied(NOT_OURS)
            return await handler(await open_visit(request, self.parts))
        except GatewayError as exc:
            return await self._error(request, exc)
        except ClientDisconnect:
            return Response(status_code=499)  # Only the log of requests shows it.
        except Exception as exc:
            log.error("internal error", request_id=request.scope.get("state", {}).get("request_id"), exc_info=exc)
            return await self._error(
                request, InternalError(_("The page failed. Tell its administrator the request id."))
            )

    async def _error(self, request: Request, error: GatewayError) -> Response:
        """Make the page about an error, in the frame of whoever is signed in as far as the database answers."""
        try:
            visit = await open_visit(request, self.parts)
        except GatewayError:
            visit = Visit(request, self.parts, None)
        if visit.session is not None:
            request.scope.setdefault("state", {})["key_id"] = visit.session.id
        status = 400 if isinstance(error, BadRequest) and error.status < 400 else error.status
        return visit.render("error.html", status=status, error=error)


def _no_page() -> NotFound:
    return NotFound(_("There is no such page."))
