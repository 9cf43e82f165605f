"""Limits of any scope, unit and interval, and OpenAI's spend limits and image quotas, which are made from them."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel
from app.control.limits import AMOUNT_MAX, LimitChange, LimitState
from app.core.intervals import Interval
from app.core.limits import LimitScope, Unit
from app.core.money import AMOUNT_MICROS_MAX, HUNDREDTH_MICROS

SpendInterval = Literal["day", "week", "month", "lifetime"]
CHANGES_MAX = 100
LIMIT_EXAMPLE = {
    "object": "limit",
    "id": "limit_3",
    "name": "monthly spend limit of user lin",
    "scope": "user",
    "scope_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m",
    "scope_name": "lin",
    "model": None,
    "unit": "micros",
    "interval": "month",
    "amount": 200_000_000,
    "spent": 80_000_000,
    "held": 1_000_000,
    "left": 119_000_000,
    "resets_at": 1798732800,
    "default_of": None,
}
_SPEND_LIMIT = {
    "object": "project.spend_limit",
    "currency": "CNY",
    "interval": "month",
    "threshold_amount": 20000,
    "enforcement": {"status": "inactive"},
    "used_micros": 80_000_000,
    "held_micros": 0,
    "left_micros": 120_000_000,
    "resets_at": 1798732800,
}
_IMAGE_QUOTA = {
    "object": "project.image_quota",
    "interval": "month",
    "threshold_amount": 200,
    "enforcement": {"status": "inactive"},
    "used": 80,
    "held": 0,
    "left": 120,
    "resets_at": 1798732800,
}


class LimitOut(AnswerModel, json_schema_extra={"example": LIMIT_EXAMPLE}):
    """Limit and its use in the current interval."""

    object: Literal["limit"] = "limit"
    id: str
    name: str = Field(description="Name in messages, like `monthly spend limit of user lin`.")
    scope: LimitScope = Field(
        description="`everyone`: a default. The limits that users have from it are of the scope `user`."
    )
    scope_id: str | None = Field(description="Null for the organization and for everyone of it.")
    scope_name: str | None
    model: str | None = Field(description="Null: for any model.")
    unit: Unit = Field(
        description="Unit of `amount`, `spent`, `held` and `left`: micros (of the book's currency), images, requests, in_flight."
    )
    interval: Interval = Field(description="`lifetime` for in_flight.")
    amount: int
    spent: int | None = Field(description="Null for a rate (per minute), except under `/key`, and for a default.")
    held: int | None
    left: int | None = Field(description="Negative when the limit was lowered or an answer cost more than its quote.")
    resets_at: int | None = Field(description="Unix seconds; null for a lifetime.")
    default_of: str | None = Field(
        description="Of a user's limit that comes from a default: `organization`, or the id of the project. Null: it is set here."
    )

    @classmethod
    def of(cls, state: LimitState, **more: Any) -> Self:
        """Make the answer; `more` are the fields of a subclass."""
        limit, resets_at_ms = state.limit, state.resets_at_ms
        return cls.from_record(
            limit,
            id=f"limit_{limit.id}",
            name=limit.label,
            scope_id=limit.scope_id or None,
            scope_name=limit.owner or None,
            model=limit.model or None,
            spent=state.spent,
            held=state.held,
            left=state.left,
            # Rounded up: a client that waits until then finds the interval over.
            resets_at=None if resets_at_ms is None else -(-resets_at_ms // 1000),
            default_of="organization" if limit.default_of == "" else limit.default_of,
            **more,
        )


class QuotedLimitOut(
    LimitOut, json_schema_extra={"example": {**LIMIT_EXAMPLE, "needed": 1_000_000, "left_after": 118_000_000}}
):
    """Limit that applies to a quoted request."""

    needed: int
    left_after: int

    @classmethod
    def of_needed(cls, state: LimitState, needed: int) -> Self:
        """Make the answer; `needed` is in the limit's unit, and its use is known."""
        assert state.left is not None
        return cls.of(state, needed=needed, left_after=state.left - needed)


class Enforcement(AnswerModel):
    """State of a limit. `enforcing`: nothing is left, so requests are refused."""

    status: Literal["enforcing", "inactive"]


class SpendLimitOut(AnswerModel, json_schema_extra={"example": _SPEND_LIMIT}):
    """OpenAI's spend limit; `threshold_amount` in hundredths of the currency."""

    object: str
    currency: str
    interval: str
    threshold_amount: int
    enforcement: Enforcement
    used_micros: int
    held_micros: int
    left_micros: int
    resets_at: int | None

    @classmethod
    def of(cls, kind: str, limit: LimitOut, currency: str) -> Self:
        """Make the answer; `kind` is its `object`, like `project.spend_limit`."""
        assert limit.left is not None
        return cls.from_record(
            limit,
            object=kind,
            currency=currency,
            threshold_amount=limit.amount // HUNDREDTH_MICROS,
            enforcement=_enforcement(limit.left),
            used_micros=limit.spent,
            held_micros=limit.held,
            left_micros=limit.left,
        )


class ImageQuotaOut(AnswerModel, json_schema_extra={"example": _IMAGE_QUOTA}):
    """Limit in images, in the form of OpenAI's spend limit."""

    object: str
    interval: str
    threshold_amount: int
    enforcement: Enforcement
    used: int
    held: int
    left: int
    resets_at: int | None

    @classmethod
    def of(cls, kind: str, limit: LimitOut) -> Self:
        """Make the answer; `kind` is its `object`, like `project.image_quota`."""
        assert limit.left is not None
        enforcement = _enforcement(limit.left)
        return cls.from_record(
            limit, object=kind, threshold_amount=limit.amount, enforcement=enforcement, used=limit.spent
        )


class LimitSet(InputModel):
    """Limit to set or, with `amount` null, to remove. `interval` is minute (not for micros), day, week, month or lifetime;
    for in_flight it is lifetime."""

    unit: Literal["micros", "images", "requests", "in_flight", "spend"] = Field(
        description="The unit of `amount`. `spend` is the older name of money: its `amount` is in hundredths."
    )
    interval: Interval = "lifetime"
    amount: int | None

    def change(self) -> LimitChange:
        if self.unit == "spend":
            return LimitChange("micros", self.interval, self.amount and self.amount * HUNDREDTH_MICROS)
        return LimitChange(self.unit, self.interval, self.amount)


class LimitsSet(
    InputModel,
    json_schema_extra={
        "example": {
            "scope": "user",
            "scope_id": "lin",
            "limits": [{"unit": "micros", "interval": "month", "amount": 200_000_000}],
        }
    },
):
    """Limits of one scope, for one model or (null) for any. `scope_id` is a project or user by id or name, a key by id. The scope
    `everyone` sets defaults, for everyone of the project in `scope_id` or (null) of the organization."""

    scope: LimitScope = "organization"
    scope_id: Annotated[str, Field(max_length=200)] | None = None
    model: Annotated[str, Field(max_length=128)] | None = None
    limits: Annotated[list[LimitSet], Field(min_length=1, max_length=CHANGES_MAX)]


class SpendLimitSet(
    InputModel, json_schema_extra={"example": {"currency": "CNY", "interval": "month", "threshold_amount": 20000}}
):
    """Spend limit to set."""

    currency: str = Field(max_length=10, description="Currency of the book: amounts are not converted.")
    interval: SpendInterval = Field(description="`month`; day, week and lifetime are an extension.")
    threshold_amount: int = Field(ge=0, le=AMOUNT_MICROS_MAX // HUNDREDTH_MICROS, description="In hundredths.")

    def change(self) -> LimitChange:
        return LimitChange("micros", self.interval, self.threshold_amount * HUNDREDTH_MICROS)


class ImageQuotaSet(InputModel, json_schema_extra={"example": {"interval": "day", "threshold_amount": 200}}):
    """Image quota to set."""

    interval: SpendInterval
    threshold_amount: int = Field(ge=0, le=AMOUNT_MAX, description="Images.")

    def change(self) -> LimitChange:
        return LimitChange("images", self.interval, self.threshold_amount)


def _enforcement(left: int) -> Enforcement:
    return Enforcement(status="enforcing" if left <= 0 else "inactive")
