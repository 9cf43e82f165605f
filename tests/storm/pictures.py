"""Pictures of the storm's relay; each names the request it was made for."""

import base64
import hashlib
import json
import random
import re
from dataclasses import dataclass
from typing import Any, Literal

_PNG = b"\x89PNG\r\n\x1a\n"
SIZES_BYTES = (200, 200, 200, 9_000, 60_000)
BIG_BYTES = 1_000_000
DEAD_URL = "https://pictures.invalid/"
"""Begin of links that lead nowhere."""
PATH = "/pictures/"
"""Begin of the path of links that the relay serves itself."""
LINK_BYTES_MAX = 60_000
_RELAY_LINK = re.compile(rf"(?:{DEAD_URL}|http://127\.0\.0\.1:[0-9]+{PATH})([^/]+)/([^/]+)/[0-9]+\.png")
_OUR_LINK = re.compile(r"https?://[^/]+/v1/images/pictures/(req_[0-9a-f]{28})_[0-9]+/content\?")
Form = Literal["base64", "link of the relay", "link"]


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
    """Content of a picture. `marker` is empty for a link of the gateway, which names the request only; so is `sha256`."""

    marker: str
    request_id: str
    form: Form = "base64"
    sha256: str = ""


def draw(asked: Asked, number: int, size_bytes: int, random_: random.Random) -> str:
    """Base64 of something that begins like a PNG."""
    told = json.dumps({"marker": asked.marker, "request_id": asked.request_id, "number": number}).encode()
    return base64.b64encode(_PNG + told + b"\n" + random_.randbytes(size_bytes)).decode()


def url(asked: Asked, number: int, start: str) -> str:
    return f"{start}{asked.marker}/{asked.request_id}/{number}.png"


def picture_at(path: str) -> bytes:
    """The picture that a link of the relay leads to, the same each time."""
    marker, request_id, file = path.removeprefix(PATH).split("/")
    told = json.dumps({"marker": marker, "request_id": request_id, "number": int(file.removesuffix(".png"))}).encode()
    chance = random.Random(path)
    return _PNG + told + b"\n" + chance.randbytes(chance.choice((200, LINK_BYTES_MAX)))


def recognise(item: dict[str, Any]) -> Seen:
    """The other way round. Raises ValueError when it is no picture of ours."""
    link = str(item.get("url", ""))
    if (ours := _OUR_LINK.match(link)) is not None:
        return Seen("", ours[1], "link")
    if (sent := _RELAY_LINK.fullmatch(link)) is not None:
        return Seen(sent[1], sent[2], "link of the relay")
    return recognise_bytes(base64.b64decode(item.get("b64_json", ""), validate=True))


def recognise_bytes(picture: bytes) -> Seen:
    """Read what `draw` wrote. Raises ValueError when it is no picture of ours."""
    if not picture.startswith(_PNG):
        raise ValueError("not a picture")
    told = json.loads(picture[len(_PNG) :].split(b"\n", 1)[0])
    return Seen(told["marker"], told["request_id"], sha256=hashlib.sha256(picture).hexdigest())
