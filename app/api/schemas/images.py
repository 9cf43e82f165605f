"""Images, models, image requests and health. Images themselves are sent as the relay made them; their model is documentation."""

from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, ErrorDetail, absent
from app.control.readiness import ChoreReport
from app.core.money import decimal_text
from app.core.request import Operation
from app.store.ledger.columns import State
from app.store.requests import StoredRequest

_MODEL = {"id": "seedream-3.0", "object": "model", "created": 1795996800, "owned_by": "imagegate"}
_REQUEST = {
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
_IMAGES = {
    "created": 1795996800,
    "data": [{"b64_json": "iVBORw0KGgo..."}],
    "size": "1024x1024",
    "output_format": "png",
}
_READY = {
    "status": "ready",
    "checks": {"database": "ok", "heartbeat": "ok", "disk": "ok", "results": "ok", "chores": "ok", "rates": "memory"},
    "chores": {"heartbeat": {"succeeded_s_ago": 4.2, "error": None}},
    "sandbox": False,
}


class ImageOut(AnswerModel):
    """One image, by its bytes or by its address."""

    b64_json: str | None = absent()
    url: str | None = absent()
    revised_prompt: str | None = absent()


class ImagesOut(AnswerModel, json_schema_extra={"example": _IMAGES}):
    """OpenAI's answer of images; what else the relay adds is sent as well."""

    created: int
    data: list[ImageOut]
    size: str | None = absent()
    quality: str | None = absent()
    background: str | None = absent()
    output_format: str | None = absent()
    usage: dict[str, Any] | None = absent()


class ModelOut(AnswerModel, json_schema_extra={"example": _MODEL}):
    """OpenAI's model: one that the key can buy images from."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelListOut(AnswerModel, json_schema_extra={"example": {"object": "list", "data": [_MODEL]}}):
    """OpenAI's list of models, which has no pages."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


class ImageRequestOut(AnswerModel, json_schema_extra={"example": _REQUEST}):
    """A request for images as its own API key sees it. `cost` is a plain decimal."""

    id: str
    object: Literal["image.request"] = "image.request"
    state: State
    operation: Operation
    model: str
    n: int
    images: int | None
    cost: str | None
    currency: str
    created_at: int
    dispatched_at: int | None
    ended_at: int | None
    error: ErrorDetail | None

    @classmethod
    def of(cls, request: StoredRequest, currency: str) -> Self:
        """A request as stored."""
        return cls.from_record(
            request,
            cost=None if request.cost_micros is None else decimal_text(request.cost_micros),
            currency=currency,
            created_at=request.reserved_at_ms // 1000,
            error=request.error and ErrorDetail(**{name: request.error[name] for name in ErrorDetail.model_fields}),
        )


class HealthOut(AnswerModel, json_schema_extra={"example": {"status": "ok"}}):
    """Sign of life."""

    status: Literal["ok"] = "ok"


class ReadyOut(AnswerModel, json_schema_extra={"example": _READY}):
    """Readiness to serve requests; each check says `ok`, or what is wrong."""

    status: Literal["ready", "degraded", "unready"]
    checks: dict[str, str]
    chores: dict[str, ChoreReport] = Field(description="Background tasks by name.")
    sandbox: bool
