"""Results of the checks of `imagegate doctor`."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. After a `warning` the gateway still works; after `failed` it refuses or loses requests. Both messages
    name the next step."""

    check: str
    status: Status
    message: str
