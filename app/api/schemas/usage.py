"""Usage and costs: OpenAI's pages of buckets, and our report over local days. These models document answers only: orjson
writes them from dicts, because a report can have tens of thousands of rows."""

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
_DUPLICATES = {"duplicates": 2, "duplicates_micros": 2_000_000, "duplicates_served": 5}


def _page(result: dict[str, Any]) -> dict[str, Any]:
    page = {"object": "page", "data": [{**_BUCKET, "results": [result]}], "has_more": False, "next_page": None}
    return {"example": page}


class GroupedResult(AnswerModel):
    """Groups of a result. Fields that it is not grouped by are null."""

    project_id: str | None
    user_id: str | None
    api_key_id: str | None
    model: str | None
    amount_micros: int = Field(description="Cost in millionths of the book's currency (an extension).")


class ImagesUsageResult(GroupedResult):
    """Images and requests that were charged."""

    object: Literal["organization.usage.images.result"]
    images: int
    num_model_requests: int
    size: str | None
    source: str | None


class CostAmount(AnswerModel):
    """Amount of money as a float, like OpenAI's."""

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
    """Page of buckets. `next_page` is the `page` of the next request."""

    object: Literal["page"]
    has_more: bool
    next_page: str | None


class ImagesUsageOut(UsagePage, json_schema_extra=_page(_IMAGES)):
    """Usage of images in buckets of time."""

    data: list[ImagesUsageBucket]


class CostsOut(UsagePage, json_schema_extra=_page(_COSTS)):
    """Costs in buckets of time."""

    data: list[CostsBucket]


class UsageSums(AnswerModel):
    """Requests, images, tokens and their cost."""

    requests: int
    images: int
    cost_micros: int
    input_tokens: int
    output_tokens: int
    duplicates: int = Field(description="Requests for what their user had bought before and that was kept.")
    duplicates_micros: int = Field(description="What these cost.")
    duplicates_served: int = Field(
        description="Requests that were served what there was, for nothing; in no other sum."
    )


class UsageReportRow(UsageSums):
    """Sums of one group, with a field for each name in `by`; project, user and key have one with `_id` too."""

    model_config = ConfigDict(extra="allow")


class UsageReportOut(
    AnswerModel,
    json_schema_extra={
        "example": {
            "object": "usage.report",
            "by": ["user", "model"],
            "data": [
                {
                    "user": "lin",
                    "user_id": "user-1c4b9z6l0p2d0k3n5v8q2x7m",
                    "model": "gpt-image-1",
                    **_SUMS,
                    **_DUPLICATES,
                },
            ],
            "total": _SUMS | _DUPLICATES,
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
