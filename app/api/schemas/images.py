"""Requests for images as their owners see them."""

from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel
from app.core.money import decimal_text
from app.core.request import Operation
from app.store.requests import StoredRequest

IMAGE_REQUEST_EXAMPLE = {
    "id": "req_01a1ff32beb40ea6e55605530862",
    "object": "image.request",
    "state": "settled",
    "operation": "generation",
    "model": "gpt-image-1",
    "n": 1,
    "images": 1,
    "cost": "1.00",
    "currency": "CNY",
    "created_at": 1795996800,
    "dispatched_at": 1795996800,
    "ended_at": 1795996821,
    "error": None,
}


class ImageRequestOut(AnswerModel, json_schema_extra={"example": IMAGE_REQUEST_EXAMPLE}):
    """State, cost and times of a request; null where it has not come to that. Times are Unix seconds."""

    id: str
    object: Literal["image.request"] = "image.request"
    state: Literal["reserved", "dispatched", "settled", "released", "unknown"]
    operation: Operation
    model: str
    n: int
    images: int | None = Field(description="Images that came.")
    cost: str | None = Field(description="A plain decimal of `currency`.")
    currency: str
    created_at: int
    dispatched_at: int | None
    ended_at: int | None
    error: dict[str, Any] | None = Field(description="OpenAI's error object of a request that failed.")

    @classmethod
    def of(cls, stored: StoredRequest, currency: str) -> Self:
        error = stored.error and {name: stored.error[name] for name in ("message", "type", "param", "code")}
        cost = None if stored.cost_micros is None else decimal_text(stored.cost_micros)
        return cls.from_record(
            stored, cost=cost, currency=currency, error=error, created_at=stored.reserved_at_ms // 1000
        )
