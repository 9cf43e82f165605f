"""Rate limits per client address, with slowapi. They count in this process only and are independent of the limits of users.

slowapi is synchronous, so it never uses Redis. Its middlewares limit nothing on current FastAPI versions, so only its decorator
and its limiter are used.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from limits import parse
from slowapi import Limiter
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address
from starlette.requests import Request
from starlette.responses import Response

from app.api.errors import error_response
from app.errors import RateLimited

Route = TypeVar("Route", bound=Callable[..., Any])
WINDOW_S = 60


class Guard:
    """Limits per client address and minute: `models_per_minute` calls of /models, `admin_per_minute` of the administration API,
    `own_per_minute` of each route about the caller's own key, `bad_keys_per_minute` wrong keys."""

    def __init__(self, *, models_per_minute: int, admin_per_minute: int, own_per_minute: int, bad_keys_per_minute: int):
        self.limiter = Limiter(key_func=get_remote_address, storage_uri="memory://")
        self._models = f"{models_per_minute}/minute"
        self._own = f"{own_per_minute}/minute"
        self._admin = parse(f"{admin_per_minute}/minute")
        self._bad_keys = parse(f"{bad_keys_per_minute}/minute")

    def models(self, route: Route) -> Route:
        """Decorate a route that lists models; the route must have the parameter `request`."""
        limited: Route = self.limiter.limit(self._models)(route)
        return limited

    def own(self, route: Route) -> Route:
        """Decorate a route about the caller's own key; the route must have the parameter `request`."""
        limited: Route = self.limiter.limit(self._own)(route)
        return limited

    def count_admin_call(self, request: Request) -> None:
        """Count a call of the administration API. Raises RateLimited above the limit of this address."""
        if not self.limiter.limiter.hit(self._admin, "admin", get_remote_address(request)):
            raise _too_many(f"calls from your address ({self._admin.amount} per minute)")

    def count_bad_key(self, request: Request) -> None:
        """Count a wrong key. Raises RateLimited above the limit of this address. Valid keys are never counted or refused here."""
        if not self.limiter.limiter.hit(self._bad_keys, "bad key", get_remote_address(request)):
            raise _too_many(f"wrong API keys from your address ({self._bad_keys.amount} per minute)")


async def too_many_calls(_: Request, exc: Exception) -> Response:
    """Answer slowapi's refusal with OpenAI's error object."""
    assert isinstance(exc, RateLimitExceeded)
    assert exc.limit is not None
    return error_response(_too_many(f"calls from your address ({exc.limit.limit.amount} per minute)"))


def _too_many(what: str) -> RateLimited:
    return RateLimited(f"Too many {what}. Try again in a minute.", retry_after_s=WINDOW_S)
