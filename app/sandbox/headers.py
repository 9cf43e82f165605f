"""Headers of the relay's answers, and its request ids."""

import secrets
import string
import time
from datetime import UTC, datetime

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .catalog import Family
from .records import Profile

REQUEST_ID = "sandbox.request_id"
FROM_A_PROXY = "sandbox.from_a_proxy"
ID_LETTERS = string.ascii_letters + string.digits
N_VERSION = "v0.12.0"


class RelayHeaders:
    """Add an id to every request and the relay's headers to every answer, except to pages of a proxy in front of it."""

    def __init__(self, app: ASGIApp, profile: Profile):
        self._app = app
        self._profile = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[REQUEST_ID] = new_request_id()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and FROM_A_PROXY not in scope:
                self._add(MutableHeaders(raw=message["headers"]), scope)
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _add(self, headers: MutableHeaders, scope: Scope) -> None:
        headers["X-Oneapi-Request-Id"] = scope[REQUEST_ID]
        if self._profile == "N":
            headers["X-New-Api-Version"] = N_VERSION
        if any(name == b"origin" for name, _ in scope["headers"]):
            headers["Access-Control-Allow-Origin"] = "*"
            headers["Access-Control-Allow-Credentials"] = "true"


def new_request_id() -> str:
    """Make an id: UTC time, nine digits of nanoseconds, eight random letters and digits."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S")
    return f"{stamp}{nanoseconds:09}{''.join(secrets.choice(ID_LETTERS) for _ in range(8))}"


def request_id(request: Request) -> str:
    """Return the id that RelayHeaders gave this request."""
    id_: str = request.scope[REQUEST_ID]
    return id_


def provider_headers(family: Family) -> dict[str, str]:
    """Headers of the provider. The relay copies them on success, and for OpenAI's models only."""
    if family != "gpt":
        return {}
    return {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-processing-ms": "1234",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
    }
