"""Scenarios: number of clients, body, and behaviour of the relay."""

import json
import random
import struct
from dataclasses import dataclass, field

MIB = 1024 * 1024
MODEL = "gpt-image-1"
PRICE_MICROS = 1_000_000
"""What a gateway books for one of its images, by the prices it begins with."""
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
_BOUNDARY = "imagegate-benchmark"
_PICTURES, _PICTURE_BYTES = 4, 2_500_000


@dataclass(frozen=True, slots=True)
class RelayBehaviour:
    """Behaviour of the relay: after `delay_s` and in `drip_s`, an image of `image_bytes` as base64 (0: a very small one). `unique`:
    another one each time. `linked`: by a link to this relay, which implies `unique`."""

    image_bytes: int = 0
    delay_s: float = 0.0
    drip_s: float = 0.0
    unique: bool = False
    linked: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """`connections` at once, one request after another on each, `requests_max` in all and for `seconds` at the most.

    `fresh`: on a process that has just started, for what is read from its memory. `shows` are the figures that matter.
    `direct`: asked of the relay itself, too. `tls`: the relay is behind TLS; clients are not. `leave_within_s`: every second
    client hangs up at some moment within that time and comes back as a new one.
    """

    name: str
    what: str
    connections: int
    requests_max: int
    seconds: float
    shows: tuple[str, ...]
    manner: RelayBehaviour = field(default_factory=RelayBehaviour)
    edits: bool = False
    fresh: bool = False
    direct: bool = True
    tls: bool = False
    leave_within_s: float = 0.0

    @property
    def path(self) -> str:
        return EDITS if self.edits else GENERATIONS

    @property
    def answer_bytes_min(self) -> int:
        """A shorter answer is not the image."""
        return self.manner.image_bytes * 4 // 3


SCENARIOS = (
    Scenario(
        "start", "from nothing to ready, then at rest", 16, 300, 10.0, ("start_s", "idle_mib"), fresh=True, direct=False,
    ),
    Scenario("small1", "small answers, one at a time", 1, 30_000, 1.0, ("p50_ms", "added_ms", "cpu_ms")),
    Scenario("small64", "small answers, 64 at once", 64, 50_000, 2.0, ("rps", "p50_ms", "p99_ms", "cpu_ms")),
    Scenario(
        "b64", "2 MiB images as base64, 16 at once", 16, 250, 2.5, ("rps", "p50_ms", "cpu_ms", "peak_mib"),
        RelayBehaviour(image_bytes=2 * MIB),
    ),
    Scenario(
        "b64tls", "the same from a relay behind TLS", 16, 250, 2.5, ("rps", "p50_ms", "cpu_ms", "peak_mib"),
        RelayBehaviour(image_bytes=2 * MIB), direct=False, tls=True,
    ),
    Scenario(
        "drip", "8 MiB images dripped in 10 s, 100 at once", 100, 100, 60.0, ("p50_ms", "cpu_ms", "growth_mib"),
        RelayBehaviour(image_bytes=8 * MIB, drip_s=10.0), fresh=True,
    ),
    Scenario(
        "edit", "edits of 4 pictures of 2.5 MB, 8 at once", 8, 100, 2.5, ("rps", "p50_ms", "cpu_ms", "growth_mib"),
        edits=True,
    ),
    Scenario(
        "wait", "1,000 at once, each answered after 5 s", 1000, 1000, 30.0, ("p50_ms", "cpu_ms", "growth_mib", "kib_each"),
        RelayBehaviour(delay_s=5.0), fresh=True,
    ),
    Scenario(
        "leave", "64 at once, answered after 0.3 s; every second one hangs up within 0.2 s", 64, 5000, 2.5,
        ("rps", "p50_ms", "p99_ms", "cpu_ms"), RelayBehaviour(delay_s=0.3), leave_within_s=0.2,
    ),
)  # fmt: skip


def request_body(edits: bool) -> tuple[str, bytes]:
    """(Content-Type, body)."""
    fields = {"model": MODEL, "prompt": "A lighthouse at dusk", "n": 1, "size": "1024x1024"}
    if not edits:
        return "application/json", json.dumps(fields).encode()
    parts = [_part(f'name="{name}"', str(value).encode()) for name, value in fields.items()]
    for number in range(_PICTURES):
        about = f'name="image[]"; filename="{number}.png"\r\nContent-Type: image/png'
        parts.append(_part(about, picture(_PICTURE_BYTES, seed=number)))
    return f"multipart/form-data; boundary={_BOUNDARY}", b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()


def picture(size_bytes: int, seed: int) -> bytes:
    """A PNG as far as its header: nobody decodes it."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack("!IIBBBBB", 1024, 1024, 8, 2, 0, 0, 0) + b"\0\0\0\0"
    return header + random.Random(seed).randbytes(size_bytes - len(header))


def _part(about: str, content: bytes) -> bytes:
    return f"--{_BOUNDARY}\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode() + content + b"\r\n"
