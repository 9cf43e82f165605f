"""Rate limits per client address. They count in this process only and are independent of the limits of users.

slowapi is synchronous, so it never uses Redis. Its middlewares limit nothing on current FastAPI versions, and its decorator binds a
limit to a route for the whole process, so only its limiter is used.
"""

import hashlib

from limits import RateLimitItem, parse
from slowapi import Limiter
from slowapi.util import get_remote_address
from starlette.requests import Request

from app.errors import RateLimited

WINDOW_S = 60
SIGN_INS = parse("30/minute")
"""Most attempts to sign in, or to set a password, per client address."""
FAILED_SIGN_INS = parse("10/15minute")
"""Most failed attempts for one account, whoever makes them and whether or not there is such a person."""


TOO_MANY_SIGN_INS = "Too many attempts to sign in from your address. Try again in a minute."
ACCOUNT_GUARDED = "Too many attempts to sign in as this person failed. Try again in 15 minutes, or ask for a new link."


class Guard:
    """Limits per client address and minute: `models_per_minute` calls of /models, `admin_per_minute` of the administration API,
    `own_per_minute` of each route about the caller's own key, `pictures_per_minute` pictures by link, `bad_keys_per_minute` wrong
    keys.

    Every method counts one call and raises RateLimited above the limit of its address, those about an account above its own.
    """

    def __init__(
        self,
        *,
        models_per_minute: int,
        admin_per_minute: int,
        own_per_minute: int,
        pictures_per_minute: int,
        bad_keys_per_minute: int,
    ):
        self.limiter = Limiter(key_func=get_remote_address, storage_uri="memory://")
        self._models = parse(f"{models_per_minute}/minute")
        self._own = parse(f"{own_per_minute}/minute")
        self._admin = parse(f"{admin_per_minute}/minute")
        self._pictures = parse(f"{pictures_per_minute}/minute")
        self._bad_keys = parse(f"{bad_keys_per_minute}/minute")

    def count_models_call(self, request: Request) -> None:
        self._count(request, self._models, "models")

    def count_own_call(self, request: Request) -> None:
        # The route's function, not the path: each id in a path would have a counter of its own.
        self._count(request, self._own, request.scope["endpoint"].__qualname__)

    def count_admin_call(self, request: Request) -> None:
        self._count(request, self._admin, "admin")

    def count_picture(self, request: Request) -> None:
        self._count(request, self._pictures, "picture", "calls for pictures")

    def count_bad_key(self, request: Request) -> None:
        """Count a wrong key. Valid keys are never counted or refused here."""
        self._count(request, self._bad_keys, "bad key", "wrong API keys")

    def count_sign_in(self, request: Request) -> None:
        counted = (SIGN_INS, "sign-in", get_remote_address(request))
        if not (self.limiter.limiter.test(*counted) and self.limiter.limiter.hit(*counted)):
            raise RateLimited(TOO_MANY_SIGN_INS, retry_after_s=WINDOW_S)

    def check_account(self, email: str) -> None:
        """Raise RateLimited for an account with too many failed attempts, without counting one."""
        if not self.limiter.limiter.test(FAILED_SIGN_INS, "account", _account(email)):
            raise RateLimited(ACCOUNT_GUARDED, retry_after_s=WINDOW_S)

    def count_failed_sign_in(self, email: str) -> None:
        self.limiter.limiter.hit(FAILED_SIGN_INS, "account", _account(email))

    def _count(self, request: Request, limit: RateLimitItem, name: str, what: str = "calls") -> None:
        counted = (limit, name, get_remote_address(request))
        # A hit starts a thread that waits 10 ms, for which the event loop stands still; one above the limit needs none.
        if not (self.limiter.limiter.test(*counted) and self.limiter.limiter.hit(*counted)):
            message = f"Too many {what} from your address ({limit.amount} per minute). Try again in a minute."
            raise RateLimited(message, retry_after_s=WINDOW_S)


def _account(email: str) -> str:
    """Return the key of an account: a digest, so that no address that somebody tries stands in memory."""
    return hashlib.sha256(email.strip().lower().encode("utf-8", "replace")).hexdigest()
