"""Actors: the people and programs that change something."""

from dataclasses import dataclass
from typing import Literal

AccessRole = Literal["owner", "reader", "member"]
"""Permissions of a person's sessions: everything; a look at all money and metadata; a look at their own."""
ActorKind = Literal["admin_api_key", "session", "cli", "gateway"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Person or program that changes something. `id` is an id of this gateway; for the command line, the name of the system
    account. `email` is None when unknown."""

    kind: ActorKind
    id: str
    name: str
    email: str | None = None


GATEWAY = Actor("gateway", "imagegate", "imagegate")
"""Actor of changes that the gateway makes by itself, such as at its first start."""
