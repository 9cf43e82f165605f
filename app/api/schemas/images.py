"""Images, models, image requests and health. Answers of images are sent as the relay wrote them; their model documents them."""

from typing import Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, ErrorDetail, absent
from app.control.readiness import ChoreReport
from app.control.relay_conditions import RelayCondition
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
    "duplicate_of": None,
}
_IMAGES = {
    "created": 1795996800,
    "data": [{"b64_json": "iVBORw0KGgo..."}],
    "size": "1024x1024",
    "output_format": "png",
}
_READY = {
    "status": "ready",
    "checks": {
        "database": "ok",
        "heartbeat": "ok",
        "disk": "ok",
        "results": "ok",
        "relays": "ok",
        "chores": "ok",
        "rates": "memory",
    },
    "chores": {"heartbeat": {"succeeded_s_ago": 4.2, "error": None}},
    "last_backup_s_ago": 36_000,
    "relays": [
        {"name": "default", "state": "closed", "code": None, "retry_in_s": None, "in_flight": 3, "good_s_ago": 0.4}
    ],
    "relay_queue": 0,
    "sandbox": False,
}


class ImageOut(AnswerModel):
    """Image, as base64 or as a URL."""

    b64_json: str | None = absent()
    url: str | None = absent()
    revised_prompt: str | None = absent()


class ImagesOut(AnswerModel, json_schema_extra={"example": _IMAGES}):
    """OpenAI's answer of images. Further fields of the relay are sent too."""

    created: int
    data: list[ImageOut]
    size: str | None = absent()
    quality: str | None = absent()
    background: str | None = absent()
    output_format: str | None = absent()
    usage: dict[str, Any] | None = absent()


class ModelOut(AnswerModel, json_schema_extra={"example": _MODEL}):
    """OpenAI's model, of those that the key can buy images from."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelListOut(AnswerModel, json_schema_extra={"example": {"object": "list", "data": [_MODEL]}}):
    """OpenAI's list of models, which has no pages."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


class ImageRequestOut(AnswerModel, json_schema_extra={"example": _REQUEST}):
    """Request for images, for the API key that made it. `cost` is a plain decimal."""

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
    duplicate_of: str | None = Field(description="A kept picture that you bought by an equal request before.")

    @classmethod
    def of(cls, request: StoredRequest, currency: str) -> Self:
        return cls.from_record(
            request,
            cost=None if request.cost_micros is None else decimal_text(request.cost_micros),
            currency=currency,
            created_at=request.reserved_at_ms // 1000,
            error=request.error and ErrorDetail(**{name: request.error[name] for name in ErrorDetail.model_fields}),
        )


_INDEX = {
    "object": "gateway",
    "name": "imagegate",
    "endpoints": ["POST /v1/images/generations", "POST /v1/images/edits", "GET /v1/models"],
    "documentation": "/docs",
}


class IndexOut(AnswerModel, json_schema_extra={"example": _INDEX}):
    """Endpoints of the gateway, for somebody who opens its address."""

    object: Literal["gateway"] = "gateway"
    name: Literal["imagegate"] = "imagegate"
    endpoints: list[str]
    documentation: str = Field(description="Path of the whole API, for people; `/openapi.json` for programs.")


class HealthOut(AnswerModel, json_schema_extra={"example": {"status": "ok"}}):
    """Liveness of the process."""

    status: Literal["ok"] = "ok"


class ReadyOut(AnswerModel, json_schema_extra={"example": _READY}):
    """Readiness to serve requests; each check is `ok` or the problem."""

    status: Literal["ready", "degraded", "unready"]
    checks: dict[str, str]
    chores: dict[str, ChoreReport] = Field(description="Background tasks by name.")
    last_backup_s_ago: int | None = Field(
        description="Seconds since the last backup that succeeded began; null before the first one."
    )
    relays: list[RelayCondition] = Field(description="Breakers of the relays in use, as this process has them.")
    relay_queue: int = Field(description="Requests that wait for a place at a relay.")
    sandbox: bool
