"""Objects that the pages of the console work with."""

from dataclasses import dataclass, field
from typing import Protocol

from starlette.requests import Request

from app.control.relay_watch import RelayWatches
from app.control.single_sign_on import SingleSignOn
from app.core.uploads import UploadedForm
from app.images.links import PictureLinks
from app.store.usual_times import UsualTimes
from app.wiring import Gateway


class SignInGuard(Protocol):
    """Limits on attempts to sign in. Each method raises RateLimited."""

    def count_sign_in(self, request: Request) -> None: ...

    def check_account(self, email: str) -> None: ...

    def count_failed_sign_in(self, email: str) -> None: ...


class ReadForm(Protocol):
    """Reader of a multipart form, within the bounds on bodies of the API; `owner` counts whose are open. Raises as the API does."""

    async def __call__(self, request: Request, owner: str) -> UploadedForm: ...


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """Gateway behind the console. `member_keys`: members may make, rotate and revoke keys of their own. `sign_on`: the provider
    at which people sign in, too."""

    gateway: Gateway
    guard: SignInGuard
    public_url: str | None
    member_keys: bool
    read_form: ReadForm
    links: PictureLinks
    relay_watches: RelayWatches
    sign_on: SingleSignOn | None = None
    usual_times: UsualTimes = field(default_factory=UsualTimes)
