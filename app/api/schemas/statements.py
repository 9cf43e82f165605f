"""Statements: months of one project or of all, frozen once they are closed."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from app.api.schemas.base import AnswerModel, InputModel
from app.control.statements import Statement, StatementGroup
from app.store.statements import StatementRecord

_CLOSED: dict[str, Any] = {
    "object": "closed_month",
    "id": "stmt_5f2m0c8b1x7k3v9d4h6j2n0q",
    "month": "2026-11",
    "project_id": None,
    "project": None,
    "closed_at": 1796083200,
    "closed_by": "lin",
}
_SUMS = {
    "requests": 40,
    "images": 62,
    "cost_micros": 51460000,
    "later_micros": 830000,
    "billed_micros": 51460000,
    "difference_micros": 0,
}
_LINE = {"day": "2026-11-21", "model": "gpt-image-1", **_SUMS}
_LATER = "What was booked or corrected after the month was closed; not part of `cost_micros`."
_DIFFERENCE = "`billed_micros` minus the cost of the days that the bill is known of."


class ClosedMonthOut(AnswerModel, json_schema_extra={"example": _CLOSED}):
    """Closed month, without its lines. `project_id` is null for all projects together."""

    object: Literal["closed_month"] = "closed_month"
    id: str
    month: str
    project_id: str | None
    project: str | None
    closed_at: int
    closed_by: str

    @classmethod
    def of(cls, record: StatementRecord) -> Self:
        return cls.from_record(record, project_id=record.project_id or None)


class StatementSums(AnswerModel):
    """Sums in micros of the book's currency."""

    requests: int
    images: int
    cost_micros: int
    later_micros: int = Field(description=_LATER)
    billed_micros: int | None = Field(description="The relay's bill; null where it is not known, and for one project.")
    difference_micros: int | None = Field(description=_DIFFERENCE)

    @classmethod
    def of(cls, group: StatementGroup, **more: Any) -> Self:
        return cls.from_record(group, **more)


class StatementLineOut(StatementSums):
    """Sums of a local day and model."""

    day: str
    model: str


class StatementOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "statement",
            "month": "2026-11",
            "project_id": None,
            "project": None,
            "closed": _CLOSED,
            "unknown_requests": 0,
            "days_without_bill": [],
            "total": _SUMS,
            "lines": [_LINE],
        }
    },
):
    """Month line by line. `closed` is null for a draft, whose lines are what the book says now."""

    object: Literal["statement"] = "statement"
    month: str
    project_id: str | None
    project: str | None
    closed: ClosedMonthOut | None
    unknown_requests: int = Field(
        description="Requests whose outcome was not known when it was closed; now, of a draft."
    )
    days_without_bill: list[str]
    total: StatementSums
    lines: list[StatementLineOut]

    @classmethod
    def of(cls, found: Statement) -> Self:
        """Make the answer, with a line for each day and model."""
        groups = [(group.names, group) for group in found.grouped("day", "model")]
        return cls(
            month=found.month.name,
            project_id=found.project_id or None,
            project=found.project,
            closed=None if found.closed is None else ClosedMonthOut.of(found.closed),
            unknown_requests=found.unknown,
            days_without_bill=found.days_without_bill,
            total=StatementSums.of(found.total),
            lines=[StatementLineOut.of(group, day=day, model=model) for (day, model), group in groups],
        )


class StatementClose(InputModel, json_schema_extra={"example": {"month": "2026-11"}}):
    """Month to close."""

    month: Annotated[str, Field(max_length=7)] = Field(description="A local month that is over, like 2026-11.")
    project: Annotated[str | None, Field(max_length=200)] = Field(
        None, description="A project by id or name; without one, all projects together."
    )
