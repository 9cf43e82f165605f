"""Options of the sandbox, its bill, and its record of requests."""

from dataclasses import dataclass
from typing import Literal

Profile = Literal["C", "N"]
Operation = Literal["generation", "edit", "variation"]

POINTS_PER_SITE_DOLLAR = 500_000
MICROS_PER_POINT = 1_000_000 // POINTS_PER_SITE_DOLLAR


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Options of a sandbox. `key` is the only accepted key; `profile` is the relay's version: C (2025) or N (2026).

    `latency_scale` 0 answers at once, 1 takes a friendly one to two seconds per call (real ones take up to minutes).
    """

    key: str
    profile: Profile = "C"
    latency_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class BillLine:
    """Line of the bill. `n` images were requested, `images` returned; `at_ms` is milliseconds since the epoch, UTC."""

    request_id: str
    model: str
    operation: Operation
    n: int
    points: int
    at_ms: int
    images: int

    @property
    def micros(self) -> int:
        """Charge in millionths of a site dollar, which the sandbox takes for one yuan."""
        return self.points * MICROS_PER_POINT


@dataclass(frozen=True, slots=True)
class SeenFile:
    """File part of a request; `sha256` is the hex digest of its bytes."""

    field: str
    filename: str
    content_type: str
    body_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """Request as it arrived. Header names are in lower case.

    `fields` holds form texts as sent and JSON values as JSON text, except that JSON strings stand without quotes;
    `body` holds the first 64 KiB of a JSON body as sent. Both are empty when the key was refused.
    """

    request_id: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    fields: dict[str, str]
    files: tuple[SeenFile, ...] = ()
    body: bytes = b""
