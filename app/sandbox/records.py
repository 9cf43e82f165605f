"""What the sandbox is told, what it saw and what it charged."""

from dataclasses import dataclass
from typing import Literal

Profile = Literal["C", "N"]
Operation = Literal["generation", "edit", "variation"]

POINTS_PER_SITE_DOLLAR = 500_000
MICROS_PER_POINT = 1_000_000 // POINTS_PER_SITE_DOLLAR


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """`key` is the one key that is accepted. `profile` is the relay's age: C (2025) or N (2026).

    `latency_scale` 0 answers at once, 1 takes a friendly one to two seconds per call (real ones take up to minutes).
    """

    key: str
    profile: Profile = "C"
    latency_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Charge:
    """One line of the bill. `n` is what was asked for, `images` what came back; `at_ms` is since the epoch, UTC."""

    request_id: str
    model: str
    operation: Operation
    n: int
    points: int
    at_ms: int
    images: int

    @property
    def micros(self) -> int:
        """The charge in millionths of a site dollar, which the sandbox takes for one yuan."""
        return self.points * MICROS_PER_POINT


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A file part as it arrived; `sha256` is the hex digest of its bytes."""

    field: str
    filename: str
    content_type: str
    body_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it arrived. Header names are in lower case.

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
