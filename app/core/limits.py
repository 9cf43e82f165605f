"""A limit is (scope, model or any, unit, interval, amount); a counter is one limit in one interval."""

from dataclasses import dataclass
from typing import Literal

from app.core.intervals import Interval

Scope = Literal["organization", "project", "user", "key"]
Unit = Literal["micros", "images", "requests", "in_flight"]


@dataclass(frozen=True, slots=True)
class Limit:
    """`scope_id` is empty for the organization, `model` is empty for any model. `owner` is the name people know the scope by."""

    id: int
    scope: Scope
    scope_id: str
    owner: str
    model: str
    unit: Unit
    interval: Interval
    amount: int

    @property
    def is_rate(self) -> bool:
        """Counted per minute in memory or Redis, not in the database."""
        return self.interval == "minute"

    def applies_to(self, model: str) -> bool:
        return self.model in ("", model)

    @property
    def label(self) -> str:
        """`monthly spend limit of user lin for gpt-image-1`: what error messages call it."""
        whose = self.scope if self.scope == "organization" else f"{self.scope} {self.owner}"
        what = {"micros": "spend limit", "images": "image quota", "requests": "request quota"}.get(self.unit)
        named = f"{_ADJECTIVE[self.interval]} {what}" if what and not self.is_rate else _RATE_NAMES[self.unit]
        return f"{named} of {whose}" + (f" for {self.model}" if self.model else "")


_ADJECTIVE = {"day": "daily", "week": "weekly", "month": "monthly", "lifetime": "lifetime", "minute": ""}
_RATE_NAMES = {
    "requests": "requests per minute",
    "images": "images per minute",
    "in_flight": "limit of concurrent requests",
    "micros": "spend per minute",
}


@dataclass(frozen=True, slots=True)
class Needs:
    """Amounts that one request takes from a limit, by unit."""

    micros: int
    images: int
    requests: int = 1
    in_flight: int = 1

    def of(self, unit: Unit) -> int:
        amount: int = getattr(self, unit)
        return amount
