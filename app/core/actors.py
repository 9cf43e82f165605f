"""Actors: the people and programs that change something."""

from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["admin_api_key", "session", "cli", "gateway"]


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is an id of ours, for the command line the name of the account it runs under. `email` where one is known."""

    kind: ActorKind
    id: str
    name: str
    email: str | None = None


GATEWAY = Actor("gateway", "imagegate", "imagegate")
"""The gateway itself: the first start, and what nobody asked for."""
