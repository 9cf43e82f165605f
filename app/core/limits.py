"""Limits: amounts per scope, model, unit and interval. A counter is one limit in one interval."""

from dataclasses import dataclass
from typing import Literal

from app.core.intervals import Interval

Scope = Literal["organization", "project", "user", "key"]
LimitScope = Scope | Literal["everyone"]
"""Scopes in which a limit is set. One of `everyone` is a default: each user without a limit of their own gets one like it."""
Unit = Literal["micros", "images", "requests", "in_flight"]


@dataclass(frozen=True, slots=True)
class Limit:
    """Limit of a scope. `scope_id` is empty for the organization, `model` is empty for any model. `owner` is the name of the
    project, user or key.

    A default has the scope `everyone` and the id of its project, or none for the organization; nothing counts on it. `default_of`
    is that `scope_id` in the limit that a user got from a default, and None in any other.
    """

    id: int
    scope: LimitScope
    scope_id: str
    owner: str
    model: str
    unit: Unit
    interval: Interval
    amount: int
    default_of: str | None = None

    @property
    def is_rate(self) -> bool:
        """True for a rate, which is counted per minute in memory or Redis, not in the database."""
        return self.interval == "minute"

    def applies_to(self, model: str) -> bool:
        return self.model in ("", model)

    @property
    def label(self) -> str:
        """Name in error messages, such as `monthly spend limit of user lin for gpt-image-1`."""
        if self.scope == "everyone":
            scope = f"everyone in project {self.owner}" if self.owner else "everyone"
        else:
            scope = self.scope if self.scope == "organization" else f"{self.scope} {self.owner}"
        default = "default " * (self.scope == "everyone" or self.default_of is not None)
        counted = {"micros": "spend limit", "images": "image quota", "requests": "request quota"}.get(self.unit)
        name = f"{_ADJECTIVE[self.interval]} {counted}" if counted and not self.is_rate else _RATE_NAMES[self.unit]
        return f"{default}{name} of {scope}" + (f" for {self.model}" if self.model else "")


_ADJECTIVE = {"day": "daily", "week": "weekly", "month": "monthly", "lifetime": "lifetime", "minute": ""}
_RATE_NAMES = {
    "requests": "requests per minute",
    "images": "images per minute",
    "in_flight": "limit of concurrent requests",
    "micros": "spend per minute",
}


@dataclass(frozen=True, slots=True)
class RequestAmounts:
    """Amounts that one request takes from a limit, by unit."""

    micros: int
    images: int
    requests: int = 1
    in_flight: int = 1

    def amount(self, unit: Unit) -> int:
        amount: int = getattr(self, unit)
        return amount
