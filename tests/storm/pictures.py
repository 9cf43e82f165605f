"""Pictures of the storm's relay; each names the request it was made for."""

import base64
import json
import random
from dataclasses import dataclass
from typing import Any

_PNG = b"\x89PNG\r\n\x1a\n"
SIZES_BYTES = (200, 200, 200, 9_000, 60_000)
BIG_BYTES = 1_000_000
URL = "https://pictures.invalid/"


@dataclass(frozen=True, slots=True)
class Asked:
    """One arrival at the relay. `request_id` is the gateway's, `marker` the client's call, `arrival` counts those of a marker."""

    marker: str
    arrival: int
    request_id: str
    operation: str
    model: str
    n: int
    stream: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """Content of a picture."""

    marker: str
    request_id: str


def draw(asked: Asked, number: int, size_bytes: int, random_: random.Random) -> str:
    """Base64 of something that begins like a PNG."""
    told = json.dumps({"marker": asked.marker, "request_id": asked.request_id, "number": number}).encode()
    return base64.b64encode(_PNG + told + b"\n" + random_.randbytes(size_bytes)).decode()


def url(asked: Asked, number: int) -> str:
    return f"{URL}{asked.marker}/{asked.request_id}/{number}.png"


def recognise(item: dict[str, Any]) -> Seen:
    """The other way round. Raises ValueError when it is no picture of ours."""
    if isinstance(link := item.get("url"), str) and link.startswith(URL):
        marker, request_id, _ = link.removeprefix(URL).split("/")
        return Seen(marker, request_id)
    return recognise_bytes(base64.b64decode(item.get("b64_json", ""), validate=True))


def recognise_bytes(picture: bytes) -> Seen:
    """Read what `draw` wrote. Raises ValueError when it is no picture of ours."""
    if not picture.startswith(_PNG):
        raise ValueError("not a picture")
    told = json.loads(picture[len(_PNG) :].split(b"\n", 1)[0])
    return Seen(told["marker"], told["request_id"])
