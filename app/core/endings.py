"""Events that end an image request: one for each admitted request, one for each refusal after authentication."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["settled", "released", "unknown"]


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """End of an admitted request. `code` is the error its client got, None where it got images; `user_id` and `project_id` are
    None where another process admitted it and died."""

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
    """Milliseconds of them from the dispatched mark to the end of the relay's answer; 0 where nothing was sent."""
    alarm: bool = False
    """An administrator has to act, such as on an empty wallet."""

    @property
    def own_ms(self) -> int:
        """Milliseconds that the gateway itself took."""
        return max(0, self.total_ms - self.relay_ms)


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """Refusal of an authenticated image request before it was admitted. `limit` is the label of the limit that refused it; `model`
    and `operation` are None where the body was not read."""

    request_id: str
    api_key_id: str
    user_id: str
    project_id: str
    operation: str | None
    model: str | None
    status: int
    code: str | None
    limit: str | None
    message: str
