"""Requests and decisions about them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel, seconds
from app.store.ledger.corrections import CorrectionRecord
from app.store.ledger.types import RefusedDispatch
from app.store.refusals import RefusalRecord
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
    "asked_model": "dall-e-3",
    "n": 1,
    "size": "1024x1024",
    "quality": None,
    "response_format": "url",
    "stream": False,
    "prompt_chars": 20,
    "quote_micros": 1_000_000,
    "cost_micros": None,
    "images": None,
    "link_only": None,
    "flag": None,
    "input_tokens": None,
    "output_tokens": None,
    "http_status": 424,
    "error_code": "upstream_outcome_unknown",
    "error_message": "The upstream failed with status 500. The image may have been charged, so do not send the request again; an "
    "administrator can look it up.",
    "relay": "default",
    "upstream_request_id": None,
    "upstream_status": 500,
    "upstream_code": "do_request_failed",
    "upstream_message": "upstream error: do request failed",
    "total_ms": 21_000,
    "upstream_ms": 20_980,
    "duplicate_of": None,
    "via": None,
}
_REFUSAL = {
    "object": "refusal",
    "id": "req_01a1ff32beb40ea6e55605530863",
    "created_at": 1795996800,
    "last_at": 1795996800,
    "count": 1,
    "user": "mia",
    "user_id": "user-5f2m0c8b1x7k3v9d4h6j2n0q",
    "project": "web",
    "project_id": "proj_3v9d4h6j2n0q5f2m0c8b1x7k",
    "api_key_id": "key_4f8c1n0a2b7m",
    "operation": "generation",
    "model": "gpt-image-1",
    "http_status": 429,
    "error_code": "insufficient_quota",
    "limit": "monthly spend limit of user mia",
    "message": "The monthly spend limit of user mia has 0.40 CNY left of 20.00 CNY (resets 2026-12-01T00:00:00+08:00); this "
    "request may need 1.00 CNY. Your administrator can raise the limit.",
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

_REFUSED_DISPATCH = {"relay": "second", "dispatched_at": 1795996799, "error_code": "upstream_wallet_empty"}


class RequestOut(AnswerModel, json_schema_extra={"example": _REQUEST}):
    """Request of a client with its times and cost. Fields of states it has not reached are null."""

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
    asked_model: str | None = Field(description="The alias that the client named; null where it named the model.")
    n: int
    size: str | None
    quality: str | None
    response_format: str | None = Field(description="As asked: `url` or `b64_json`; null where the client named none.")
    stream: bool
    prompt_chars: int
    quote_micros: int = Field(description="Highest cost, which is held until the outcome is known.")
    cost_micros: int | None
    images: int | None
    link_only: int | None = Field(
        description="Pictures of its answer that are not kept: the relay's link was all there was, and led to no picture. Null for "
        "none."
    )
    flag: str | None = Field(description="Mark of an unusual settlement, like `short` or `by_hand`.")
    input_tokens: int | None
    output_tokens: int | None
    http_status: int | None
    error_code: str | None
    error_message: str | None = Field(description="What the client was told in place of images.")
    relay: str | None = Field(description="Name of the relay it was sent to.")
    upstream_request_id: str | None
    upstream_status: int | None = Field(
        description="Status of a refusal by the relay; 200 for an error that came in its answer."
    )
    upstream_code: str | None = Field(description="The relay's own code of its refusal.")
    upstream_message: str | None = Field(
        description="The relay's words about its refusal, without keys, hosts and request ids; the caller may see others."
    )
    total_ms: int | None = Field(description="Time from the reservation to the end.")
    upstream_ms: int | None
    duplicate_of: str | None = Field(
        description="A kept picture that the same user bought by an equal request before; null for most requests."
    )
    via: str | None = Field(description="`console` where a person bought it there; null for a request to the API.")

    @classmethod
    def of(cls, request: RequestRecord, **more: Any) -> Self:
        """Make the answer from a stored request; `more` are the fields of a subclass."""
        return cls.from_record(request, created_at=seconds(request.reserved_at_ms), **more)


class CorrectionOut(AnswerModel):
    """Correction of a request, or a decision about it. Its amounts are added to the request's."""

    kind: str
    cost_micros: int
    images: int
    requests: int
    reason: str
    actor: str
    created_at: int


class RefusedDispatchOut(AnswerModel):
    """Relay that refused a request free of charge, before another got it."""

    relay: str
    dispatched_at: int
    error_code: str

    @classmethod
    def of(cls, refused: RefusedDispatch) -> Self:
        return cls(relay=refused.relay, dispatched_at=refused.at_ms // 1000, error_code=refused.code)


class RequestDetailOut(
    RequestOut,
    json_schema_extra={
        "example": {**_REQUEST, "corrections": [_CORRECTION], "refused_dispatches": [_REFUSED_DISPATCH]}
    },
):
    """Request with its corrections, and with the relays that refused it before the last one; each oldest first."""

    corrections: list[CorrectionOut]
    refused_dispatches: list[RefusedDispatchOut]

    @classmethod
    def with_details(
        cls, request: RequestRecord, corrections: list[CorrectionRecord], refused: list[RefusedDispatch]
    ) -> Self:
        return cls.of(
            request,
            corrections=[CorrectionOut.from_record(each) for each in corrections],
            refused_dispatches=[RefusedDispatchOut.of(each) for each in refused],
        )


class RefusalOut(AnswerModel, json_schema_extra={"example": _REFUSAL}):
    """Refusal of a request before it was admitted, or `count` equal ones of one key. Kept 30 days, and a million at most."""

    object: Literal["refusal"] = "refusal"
    id: str = Field(description="`x-request-id` of the refusal; of equal ones that were folded, the first.")
    created_at: int
    last_at: int = Field(description="Time of the last of the folded refusals.")
    count: int = Field(description="More than 1 where a key had more than ten equal refusals in a minute.")
    user: str
    user_id: str
    project: str
    project_id: str
    api_key_id: str
    operation: str | None = Field(description="Null in old rows whose body was not read.")
    model: str | None = Field(description="The client's own name of the model; null where it was not read.")
    http_status: int
    error_code: str | None
    limit: str | None = Field(description="The limit that refused, in words.")
    message: str = Field(description="The message that the client got, without keys and addresses.")

    @classmethod
    def of(cls, refusal: RefusalRecord) -> Self:
        return cls.from_record(refusal, created_at=seconds(refusal.at_ms))


_Reason = Annotated[str, Field(max_length=2000, description="Stored with the request and the name of the caller.")]


class RequestDecision(InputModel, json_schema_extra={"example": {"reason": "the relay's bill does not list it"}}):
    """Decision about a request whose outcome is unknown."""

    reason: _Reason


class RequestSettle(
    RequestDecision, json_schema_extra={"example": {"reason": "on the bill", "cost_micros": 1_000_000}}
):
    """Decision that a request was charged: `cost_micros`, or without it the most that it can cost at its relay."""

    cost_micros: Annotated[int, Field(ge=0)] | None = None
