"""Tools of a check of the Python SDK. They run beside the SDK, without the gateway's own packages."""

import base64
import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

GPT, SEEDREAM, FLUX, UNPRICED = "gpt-image-1", "seedream-3.0", "flux-kontext-pro", "imagen4"
PNG_MAGIC, JPEG_MAGIC = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class Bench:
    """One check's view: clients of one SDK for the gateway over one relay, and what that relay saw of this check.

    `posts` are the POSTs that left the SDK. `mark` stands in every prompt, so that the relay's notes can be told apart.
    """

    openai: Any
    http: Any
    profile: str
    mark: str
    gateway: str
    away: str
    spy: str
    keys: dict[str, str]
    pictures: dict[str, bytes]
    posts: list[Any]

    def client(self, key: str = "good", **options: Any) -> Any:
        """The SDK's own client with its own retries, where `options` do not say otherwise."""
        chosen = {"api_key": self.keys[key], "base_url": f"{self.gateway}/v1", "http_client": self.http} | options
        return self.openai.OpenAI(**chosen)

    def prompt(self, hint: str = "") -> str:
        return f"{self.mark} [[sandbox {hint}]]" if hint else self.mark

    def generate(self, hint: str = "", *, model: str = GPT, key: str = "good", **fields: Any) -> Any:
        return self.client(key).images.generate(model=model, prompt=self.prompt(hint), **fields)

    def edit(self, image: Any = None, hint: str = "", *, model: str = GPT, key: str = "good", **fields: Any) -> Any:
        chosen = ("cat.png", self.pictures["png"], "image/png") if image is None else image
        return self.client(key).images.edit(model=model, prompt=self.prompt(hint), image=chosen, **fields)

    def seen(self) -> list[dict[str, Any]]:
        """Return the requests of this check that the relay got, oldest first."""
        query = urllib.parse.urlencode({"profile": self.profile, "prompt": self.mark})
        with urllib.request.urlopen(f"{self.spy}/seen?{query}") as answer:
            found: list[dict[str, Any]] = json.load(answer)
        return found

    def seen_once(self) -> dict[str, Any]:
        [seen] = self.seen()
        return seen


@dataclass(frozen=True, slots=True)
class Entry:
    run: Callable[[Bench], None]
    profiles: str
    since: int


CHECKS: dict[str, Entry] = {}
Check = Callable[[Bench], None]


def check(*, profiles: str = "CN", since: int = 1) -> Callable[[Check], Check]:
    """Makes a function a check: its name states what holds, on these relays and from this major version on."""

    def enter(function: Check) -> Check:
        add(function.__name__, function, profiles=profiles, since=since)
        return function

    return enter


def add(name: str, function: Check, *, profiles: str = "CN", since: int = 1) -> None:
    assert name not in CHECKS, name
    CHECKS[name] = Entry(function, profiles, since)


def entries(major: int) -> Iterator[tuple[str, str, Entry]]:
    """(relay profile, name, check) of all that this major version can do."""
    for name, entry in CHECKS.items():
        if entry.since <= major:
            yield from ((profile, name, entry) for profile in entry.profiles)


def picture_of(item: Any) -> bytes:
    """The bytes behind b64_json, of a plain answer or of an event; nothing but base64 may be in it."""
    return base64.b64decode(item.b64_json, validate=True)


def same(found: object, expected: object) -> None:
    """assert found == expected, and say both: there is no pytest here."""
    assert found == expected, f"{found!r} is not {expected!r}"
