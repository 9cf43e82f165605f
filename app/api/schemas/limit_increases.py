"""Requests of members for more of a limit, and the decisions of owners."""

from typing import Annotated, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel
from app.api.schemas.limits import LIMIT_EXAMPLE, LimitOut
from app.control.limit_increases import WORDS_MAX, Duration, IncreaseState
from app.store.limit_increases import IncreaseStatus

_INCREASE = {
    "object": "limit_increase",
    "id": "incr_8b1x7k3v9d4h6j2n0q5f2m0c",
    "status": "open",
    "user_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m",
    "user_name": "lin",
    "limit": LIMIT_EXAMPLE,
    "asked": 50_000_000,
    "reason": "posters for the spring market",
    "created_at": 1795996800,
    "granted": None,
    "answer": "",
    "decided_by": None,
    "decided_at": None,
    "until": None,
    "ended_at": None,
}


class LimitIncreaseOut(AnswerModel, json_schema_extra={"example": _INCREASE}):
    """Request of a person for more of a limit."""

    object: Literal["limit_increase"] = "limit_increase"
    id: str
    status: IncreaseStatus
    user_id: str
    user_name: str
    limit: LimitOut | None = Field(description="As it is now; null where it was removed since.")
    asked: int = Field(description="On top of the limit, in its unit.")
    reason: str
    created_at: int
    granted: int | None = Field(description="What was put on top; null where it is not approved.")
    answer: str = Field(description="Words of whoever decided; may be empty.")
    decided_by: str | None
    decided_at: int | None
    until: int | None = Field(description="Unix seconds: when the limit goes back; null: for good.")
    ended_at: int | None = Field(description="When it went back, or was set by hand before.")

    @classmethod
    def of(cls, state: IncreaseState) -> Self:
        increase = state.increase
        return cls.from_record(
            increase,
            status=increase.state,
            user_name=increase.user or increase.user_id or "",
            limit=None if state.limit is None else LimitOut.of(state.limit),
            until=None if increase.until_ms is None else increase.until_ms // 1000,
        )


class IncreaseApproval(InputModel, json_schema_extra={"example": {"duration": "interval", "amount": 50_000_000}}):
    """Approval of a request. `amount` is put on top of the limit, in its unit; null: what was asked for. With the `duration`
    `interval` the limit goes back when its current interval ends."""

    duration: Duration = "for_good"
    amount: int | None = None
    answer: Annotated[str, Field(max_length=WORDS_MAX)] = ""


class IncreaseRefusal(InputModel, json_schema_extra={"example": {"answer": "Please use the smaller model."}}):
    """Words to whoever asked."""

    answer: Annotated[str, Field(max_length=WORDS_MAX)] = ""
