"""Relays of the installation: which models each serves, how often it is chosen, and what it charges."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from app.core.request import DEFAULT_RELAY

RelayProfile = Literal["C", "N"]
"""Kind of a relay's bills. C takes the key of its log in the address only and logs no request ids; N takes it in a header."""
FACTOR_ONE: Final = 1_000_000
"""Price factor of a relay that charges what the price book says."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Relay as the database has it. The settings hold the address and the key of the one named `default`.

    `profile` and `micros_per_dollar` (price of 500,000 of its points) are None where those of the settings count. `weight` is its
    part of the requests; 0: it gets only those that no other takes. `concurrent` is the most requests at once, None without a
    bound; `models` are those that it gets requests for, None for all. `price_factor` is in millionths of the price book's prices.
    """

    name: str
    base_url: str | None = None
    sealed_key: bytes | None = field(default=None, repr=False)
    profile: RelayProfile | None = None
    weight: int = 1
    concurrent: int | None = None
    models: frozenset[str] | None = None
    price_factor: int = FACTOR_ONE
    micros_per_dollar: int | None = None
    created_at_ms: int = 0
    key_replaced_at_ms: int | None = None
    disabled_at_ms: int | None = None
    removed_at_ms: int | None = None

    @property
    def is_in_use(self) -> bool:
        """True for a relay that gets requests."""
        return self.disabled_at_ms is None and self.removed_at_ms is None

    def serves(self, model: str) -> bool:
        """Return whether the relay gets requests for a model."""
        return self.is_in_use and (self.models is None or model in self.models)

    def price_micros(self, micros: int) -> int:
        """Return what a price of the price book is at this relay, rounded up."""
        return -(-micros * self.price_factor // FACTOR_ONE)

    def listed_micros(self, micros: int) -> int:
        """Return the price of the price book that is `micros` at this relay, rounded up."""
        return -(-micros * FACTOR_ONE // self.price_factor)


DEFAULT: Final = Relay(DEFAULT_RELAY)


def dearest_micros(relays: Iterable[Relay], listed_micros: int) -> int:
    """Return the most that a price of the price book is at any of `relays`."""
    return max(relay.price_micros(listed_micros) for relay in relays)
