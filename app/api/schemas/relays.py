"""Relays: the answers, and what is created and changed."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel
from app.control.relays import RelayChange
from app.core.money import decimal_text
from app.core.relays import Relay, RelayProfile
from app.core.request import DEFAULT_RELAY
from app.upstream.pool import RelayPool, RelayStatus

_FIELDS = {
    "base_url": "https://relay.example.com",
    "profile": "N",
    "weight": 3,
    "concurrent": 40,
    "models": ["gpt-image-1"],
    "price_factor": "0.80",
    "micros_per_dollar": 7_300_000,
}
_RELAY = {
    "object": "relay",
    "name": "second",
    **_FIELDS,
    "has_key": True,
    "state": "active",
    "breaker": "open",
    "breaker_code": "upstream_wallet_empty",
    "retry_in_s": 12,
    "in_flight": 0,
    "created_at": 1795996800,
    "key_replaced_at": None,
    "disabled_at": None,
    "removed_at": None,
}
_KEY = Field(max_length=1000, repr=False, description="Key of the relay. No answer shows it.")


class RelayOut(AnswerModel, json_schema_extra={"example": _RELAY}):
    """Relay that images are bought from. The settings hold address and key of the one named `default`."""

    object: Literal["relay"] = "relay"
    name: str
    base_url: str | None
    has_key: bool
    profile: RelayProfile | None = Field(description="Kind of its bills; null: as the settings say.")
    weight: int = Field(description="Its part of the requests; 0: only those that no other takes.")
    concurrent: int | None = Field(description="Most requests at once; null without a bound.")
    models: list[str] | None = Field(description="Models it gets requests for; null for all.")
    price_factor: str = Field(description="Its prices as a part of the price book's.")
    micros_per_dollar: int | None = Field(description="Price of 500,000 of its points; null: as the settings say.")
    state: Literal["active", "disabled", "removed"]
    breaker: Literal["closed", "open", "half_open"] | None = Field(
        description="State in the process that answers; null where that has sent it nothing yet. An open one gets no requests "
        "while another relay is well, and none at all where its failures may have cost money."
    )
    breaker_code: str | None = Field(description="Error code that opened the breaker.")
    retry_in_s: int | None = Field(description="Time until an open breaker asks the relay again.")
    in_flight: int = Field(description="Requests that the relay has from the process that answers.")
    created_at: int
    key_replaced_at: int | None
    disabled_at: int | None
    removed_at: int | None

    @classmethod
    def of(cls, relay: Relay, status: RelayStatus | None, **more: Any) -> Self:
        """Make the answer from a stored relay and its state in this process; `more` are fields that the settings hold."""
        state = "removed" if relay.removed_at_ms else "disabled" if relay.disabled_at_ms else "active"
        is_open = status is not None and status.breaker == "open"
        fields = {
            "has_key": relay.sealed_key is not None,
            "models": None if relay.models is None else sorted(relay.models),
            "price_factor": decimal_text(relay.price_factor),
            "state": state,
            "breaker": status.breaker if status else None,
            "breaker_code": status.code if status else None,
            "retry_in_s": status.retry_in_s if status and is_open else None,
            "in_flight": status.in_flight if status else 0,
        }
        return cls.from_record(relay, **(fields | more))


def relay_answers(found: Sequence[Relay], pool: RelayPool, *, has_default_key: bool) -> list[RelayOut]:
    """Make the answers of relays with their states in this process; the settings have address and key of `default`."""
    statuses = {status.name: status for status in pool.statuses()}
    settings = {"base_url": pool.default.base_url, "has_key": has_default_key}
    return [
        RelayOut.of(relay, statuses.get(relay.name), **(settings if relay.name == DEFAULT_RELAY else {}))
        for relay in found
    ]


class RelayFields(InputModel):
    """Fields that are left out or null stay as they are."""

    profile: Literal["C", "N", ""] | None = Field(None, description="Empty: as the settings say.")
    weight: int | None = Field(None, description="0 to 1000.")
    concurrent: int | None = Field(None, description="0: without a bound.")
    models: Annotated[list[str] | None, Field(max_length=1000, description="Empty: all.")] = None
    price_factor: Annotated[str | None, Field(max_length=20, description="A decimal from 0.000001 to 1000.")] = None
    micros_per_dollar: int | None = Field(None, description="0: as the settings say.")

    def change(self) -> RelayChange:
        return RelayChange(**self.model_dump(exclude={"name"}))


class RelayCreate(RelayFields, json_schema_extra={"example": {"name": "second", "key": "sk-...", **_FIELDS}}):
    """Relay to create. Its name is never used again after its removal."""

    name: Annotated[str, Field(max_length=100)]
    base_url: Annotated[str, Field(max_length=500)]
    key: Annotated[str, _KEY]


class RelayUpdate(RelayFields, json_schema_extra={"example": {"weight": 0, "disabled": False}}):
    """Change of a relay. A new `base_url` needs the `key` again. `disabled`: whether it gets no requests."""

    base_url: Annotated[str | None, Field(max_length=500)] = None
    key: Annotated[str | None, _KEY] = None
    disabled: bool | None = None


class RelayKeyReplace(InputModel, json_schema_extra={"example": {"key": "sk-..."}}):
    """New key of a relay."""

    key: Annotated[str, _KEY]
