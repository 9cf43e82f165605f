"""API key as its own holder reads it, and the quote of a request."""

from typing import Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel
from app.api.schemas.keys import KeyProject
from app.api.schemas.limits import LIMIT_EXAMPLE, LimitOut, QuotedLimitOut
from app.control.limits import LimitState
from app.control.quotes import Quote
from app.core.money import decimal_text
from app.store.keys import KeyRecord


class OwnKeyOwner(AnswerModel):
    """User or service account of a key."""

    type: Literal["user", "service_account"]
    id: str
    name: str


class OwnKeyOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "api_key",
            "id": "key_4f8c1n0a2b7m",
            "name": "lin",
            "redacted_value": "sk-ig-...x7Qa",
            "created_at": 1795996800,
            "expires_at": None,
            "owner": {"type": "user", "id": "user-5f2m0c8b1x7k3v9d4h6j2n0q", "name": "lin"},
            "project": {"id": "proj_default", "name": "default"},
            "models": ["gpt-image-1", "seedream-3.0"],
            "currency": "CNY",
            "limits": [LIMIT_EXAMPLE],
        }
    },
):
    """Calling API key with its owner, the models it can buy now, and the limits that apply to it."""

    object: Literal["api_key"] = "api_key"
    id: str
    name: str
    redacted_value: str
    created_at: int
    expires_at: int | None
    owner: OwnKeyOwner
    project: KeyProject
    models: list[str]
    currency: str
    limits: list[LimitOut]

    @classmethod
    def of(cls, key: KeyRecord, models: list[str], currency: str, limits: list[LimitState]) -> Self:
        """Make the answer; `models` are those the key can buy now."""
        kind: Literal["user", "service_account"] = "service_account" if key.user_kind == "service_account" else "user"
        return cls.from_record(
            key,
            redacted_value=f"sk-ig-...{key.last_four}",
            owner=OwnKeyOwner(type=kind, id=key.user_id, name=key.user),
            project=KeyProject(id=key.project_id, name=key.project),
            models=models,
            currency=currency,
            limits=[LimitOut.of(state) for state in limits],
        )


class QuoteOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "image.quote",
            "operation": "generation",
            "model": "gpt-image-1",
            "n": 1,
            "size": "1024x1024",
            "quality": None,
            "amount": "1.00",
            "amount_micros": 1_000_000,
            "currency": "CNY",
            "allowed": True,
            "refused_by": None,
            "limits": [{**LIMIT_EXAMPLE, "needed": 1_000_000, "left_after": 118_000_000}],
            "duplicate_of": None,
        }
    },
):
    """Quote of a request: its highest cost, the limit that would refuse it now, and what would be left. `amount` is a decimal."""

    object: Literal["image.quote"] = "image.quote"
    operation: str
    model: str
    n: int
    size: str | None
    quality: str | None
    amount: str
    amount_micros: int
    currency: str
    allowed: bool
    refused_by: QuotedLimitOut | None
    limits: list[QuotedLimitOut]
    duplicate_of: str | None = Field(
        description="A kept picture that you bought by an equal request; with `x-imagegate-duplicate: serve` it is served instead."
    )

    @classmethod
    def of(cls, quote: Quote, currency: str, duplicate_of: str | None) -> Self:
        refused_by = quote.refused_by
        return cls.from_record(
            quote.request,
            duplicate_of=duplicate_of,
            amount=decimal_text(quote.amount_micros),
            amount_micros=quote.amount_micros,
            currency=currency,
            allowed=refused_by is None,
            refused_by=refused_by and QuotedLimitOut.of_needed(refused_by.state, refused_by.needed),
            limits=[QuotedLimitOut.of_needed(each.state, each.needed) for each in quote.limits],
        )
