"""The book of requests, decisions about them, and refusals."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, seconds
from app.store.ledger.corrections import CorrectionRecord
from app.store.requests import RequestRecord

_REQUEST = {
    "object": "request",
    "id": "req_01a1ff32beb40ea6e55605530862",
    "state": "unknown",
    "created_at": 1795996800,
    "dispatched_at": 1795996800,
    "ended_at": 1795996821,
    "user": "lin",
    "user_id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
    "project": "web",
    "project_id": "proj_3v9d4h6j2n0q5f2m0c8b1x7k",
    "api_key_id": "key_4f8c1n0a2b7m",
    "operation": "generation",
    "model": "gpt-image-1",
    "n": 1,
    "size": "1024x1024",
    "quality": None,
    "stream": False,
    "prompt_chars": 20,
    "quote_micros": 1_000_000,
    "cost_micros": None,
    "images": None,
    "flag": None,
    "input_tokens": None,
    "output_tokens": None,
    "http_status": 424,
    "error_code": "upstream_outcome_unknown",
    "relay": "default",
    "upstream_request_id": None,
    "total_ms": 21_000,
    "upstream_ms": 20_980,
}
_CORRECTION = {
    "kind": "write_off",
    "cost_micros": 0,
    "images": 0,
    "requests": 0,
    "reason": "nobody will find out",
    "actor": "automation",
    "created_at": 1796083200,
}


class RequestOut(AnswerModel, json_schema_extra={"example": _REQUEST}):
    """A request of a client, its life and its cost; null where it has not come to that."""

    object: Literal["request"] = "request"
    id: str
    state: str = Field(description="`reserved`, `dispatched`, `settled`, `released` or `unknown`.")
    created_at: int
    dispatched_at: int | None
    ended_at: int | None
    user: str
    user_id: str
    project: str
    project_id: str
    api_key_id: str
    operation: str
    model: str
    n: int
    size: str | None
    quality: str | None
    stream: bool
    prompt_chars: int
    quote_micros: int = Field(description="The most it can cost: the money held while its outcome is open.")
    cost_micros: int | None
    images: int | None
    flag: str | None = Field(description="Why the cost is not what the answer says, like `short` or `by_hand`.")
    input_tokens: int | None
    output_tokens: int | None
    http_status: int | None
    error_code: str | None
    relay: str | None = Field(description="Name of the relay it was sent to.")
    upstream_request_id: str | None
    total_ms: int | None = Field(description="From the reservation to the end.")
    upstream_ms: int | None

    @classmethod
    def of(cls, request: RequestRecord, **more: Any) -> Self:
        """A request as stored; `more` are the fields a subclass adds."""
        return cls.from_record(request, created_at=seconds(request.reserved_at_ms), **more)


class CorrectionOut(AnswerModel):
    """A booking or decision that mends a request; its amounts are added to the request's."""

    kind: str
    cost_micros: int
    images: int
    requests: int
    reason: str
    actor: str
    created_at: int


class RequestDetailOut(RequestOut, json_schema_extra={"example": {**_REQUEST, "corrections": [_CORRECTION]}}):
    """A request with its corrections, oldest first."""

    corrections: list[CorrectionOut]

    @classmethod
    def with_corrections(cls, request: RequestRecord, corrections: list[CorrectionRecord]) -> Self:
        """A request and its corrections as stored."""
        return cls.of(request, corrections=[CorrectionOut.from_record(each) for each in corrections])


_Reason = Annotated[str, Field(max_length=2000, description="Kept beside the request, with the name of who decides.")]


class RequestDecision(InputModel, json_schema_extra={"example": {"reason": "the relay's bill does not list it"}}):
    """A decision about a request whose outcome is unknown."""

    reason: _Reason


class RequestSettle(
    RequestDecision, json_schema_extra={"example": {"reason": "on the bill", "cost_micros": 1_000_000}}
):
    """A decision that the request was charged; without `cost_micros` at its quote."""

    cost_micros: Annotated[int, Field(ge=0)] | None = None
