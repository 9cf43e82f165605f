"""Usage and costs: OpenAI's pages of buckets, and our report over local days. Documentation of answers that are written by
orjson from plain dicts with these fields: a report can have tens of thousands of rows."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas.base import AnswerModel

_BUCKET = {"object": "bucket", "start_time": 1796083200, "end_time": 1796169600}
_NOBODY: dict[str, Any] = {"project_id": None, "user_id": None, "api_key_id": None}
_IMAGES = {
    "object": "organization.usage.images.result",
    "images": 12,
    "num_model_requests": 9,
    **_NOBODY,
    "model": "gpt-image-1",
    "size": None,
    "source": None,
    "amount_micros": 12_000_000,
}
_COSTS = {
    "object": "organization.costs.result",
    "amount": {"value": 12.0, "currency": "cny"},
    **_NOBODY,
    "line_item": "gpt-image-1, image.generation",
    "quantity": 12.0,
    "quantity_unit": "images",
    "model": None,
    "amount_micros": 12_000_000,
}
_SUMS = {"requests": 9, "images": 12, "cost_micros": 12_000_000, "input_tokens": 0, "output_tokens": 0}


def _page(result: dict[str, Any]) -> dict[str, Any]:
    page = {"object": "page", "data": [{**_BUCKET, "results": [result]}], "has_more": False, "next_page": None}
    return {"example": page}


class GroupedResult(AnswerModel):
    """The groups of a result; null where it is not grouped by that."""

    project_id: str | None
    user_id: str | None
    api_key_id: str | None
    model: str | None
    amount_micros: int = Field(description="An extension: the cost in millionths of the book's currency.")


class ImagesUsageResult(GroupedResult):
    """Images and requests that were paid for."""

    object: Literal["organization.usage.images.result"]
    images: int
    num_model_requests: int
    size: str | None
    source: str | None


class CostAmount(AnswerModel):
    """An amount of money, as OpenAI's: a float."""

    value: float
    currency: str


class CostsResult(GroupedResult):
    """Money spent."""

    object: Literal["organization.costs.result"]
    amount: CostAmount
    line_item: str | None
    quantity: float | None
    quantity_unit: Literal["images"] | None


class BucketTimes(AnswerModel):
    """Start (inclusive) and end (exclusive) of a bucket, in Unix seconds."""

    object: Literal["bucket"]
    start_time: int
    end_time: int


class ImagesUsageBucket(BucketTimes):
    """Images of one bucket."""

    results: list[ImagesUsageResult]


class CostsBucket(BucketTimes):
    """Costs of one bucket."""

    results: list[CostsResult]


class UsagePage(AnswerModel):
    """A page of buckets; `next_page` continues it."""

    object: Literal["page"]
    has_more: bool
    next_page: str | None


class ImagesUsageOut(UsagePage, json_schema_extra=_page(_IMAGES)):
    """Images by time."""

    data: list[ImagesUsageBucket]


class CostsOut(UsagePage, json_schema_extra=_page(_COSTS)):
    """Costs by time."""

    data: list[CostsBucket]


class UsageSums(AnswerModel):
    """Requests, images, tokens and their cost."""

    requests: int
    images: int
    cost_micros: int
    input_tokens: int
    output_tokens: int


class UsageReportRow(UsageSums):
    """Sums of one group: a field for each name in `by`, and for project, user and key one with `_id`."""

    model_config = ConfigDict(extra="allow")


class UsageReportOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "usage.report",
            "by": ["user", "model"],
            "data": [
                {"user": "lin", "user_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m", "model": "gpt-image-1", **_SUMS},
            ],
            "total": _SUMS,
            "currency": "CNY",
        }
    },
):
    """Sums over local days, with names."""

    object: Literal["usage.report"]
    by: list[str]
    data: list[UsageReportRow]
    total: UsageSums
    currency: str
