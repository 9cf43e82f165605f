"""Events at the end of an image request: one for each admitted request, one for each refusal after authentication."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["settled", "released", "unknown"]


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """End of an admitted request. `code` is the client's error code, None when it received images. `user_id` and `project_id`
    are None when the process that admitted the request has died."""

    request_id: str
    api_key_id: str
    user_id: str | None
    project_id: str | None
    operation: str
    model: str
    outcome: Outcome
    code: str | None
    cost_micros: int
    images: int
    total_ms: int
    """Milliseconds from the reservation to the end."""
    relay_ms: int
    """Milliseconds from the dispatched mark to the end of the relay's answer; 0 when nothing was sent."""
    relay: str | None
    """Name of the relay that it was sent to last; None when nothing was sent."""
    failovers: tuple[tuple[str, str], ...] = ()
    """Relays that refused it before that one got it, each with the error code of its refusal."""
    alarm: bool = False
    """True when an administrator has to act, for example because the relay's wallet is empty."""

    @property
    def own_ms(self) -> int:
        """Milliseconds spent in the gateway itself."""
        return max(0, self.total_ms - self.relay_ms)


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """Refusal of an authenticated image request before it was admitted. `limit` is the label of the limit that refused it; `model`
    is None when the body was not read."""

    request_id: str
    api_key_id: str
    user_id: str
    project_id: str
    operation: str
    model: str | None
    status: int
    code: str | None
    limit: str | None
    message: str
