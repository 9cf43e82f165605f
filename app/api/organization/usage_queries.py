"""Query strings of usage and costs."""

from typing import Annotated, Literal

from pydantic import Field

from app.api.organization.reading import QueryModel
from app.control.buckets import Period, Width
from app.errors import InvalidValue
from app.store.buckets import Field as UsageField
from app.store.buckets import UsageFilter

TIME_MAX_S = 32_503_680_000
"""The year 3000."""
BUCKETS: dict[Width, tuple[int, int]] = {"1d": (7, 31), "1h": (24, 168), "1m": (60, 1440)}
"""Default and largest number of buckets by width."""
COST_BUCKETS = (7, 180)
SOURCE = "image."

Seconds = Annotated[int, Field(ge=0, le=TIME_MAX_S)]
Values = tuple[Annotated[str, Field(max_length=200)], ...]
Source = Literal["image.generation", "image.edit", "image.variation"]
ImagesField = Literal["project_id", "user_id", "api_key_id", "model", "size", "source"]
CostsField = Literal["project_id", "user_id", "api_key_id", "line_item", "model"]

_FIELDS: dict[str, tuple[UsageField, ...]] = {
    "project_id": ("project_id",),
    "user_id": ("user_id",),
    "api_key_id": ("api_key_id",),
    "model": ("model",),
    "size": ("size",),
    "source": ("operation",),
    "line_item": ("model", "operation"),
}


class _Query(QueryModel):
    start_time: Seconds = Field(description="Unix seconds, inclusive.")
    end_time: Seconds | None = Field(None, description="Unix seconds, exclusive. Left out: now.")
    api_key_ids: Values = ()
    project_ids: Values = ()
    user_ids: Values = Field((), description="Users and service accounts.")
    models: Values = ()
    group_by: tuple[str, ...] = ()

    def only(self) -> dict[UsageField, tuple[str, ...]]:
        named: dict[UsageField, tuple[str, ...]] = {
            "project_id": self.project_ids,
            "user_id": self.user_ids,
            "api_key_id": self.api_key_ids,
            "model": self.models,
        }
        return {name: values for name, values in named.items() if values}

    def fields(self) -> tuple[UsageField, ...]:
        return tuple(dict.fromkeys(field for name in self.group_by for field in _FIELDS[name]))


class _Paged(QueryModel):
    limit: int = Field(0, ge=0, le=1440, description="How many buckets; 0 is the default.")
    page: str | None = Field(None, max_length=100, description="`next_page` of the answer before.")

    def buckets_max(self, default: int, most: int) -> int:
        if self.limit > most:
            raise InvalidValue(f"The limit goes up to {most} buckets of this width.", param="limit")
        return self.limit or default


class _Images(_Query):
    bucket_width: Width = "1d"
    group_by: tuple[ImagesField, ...] = ()
    sizes: Values = Field((), description="Any size, like 1536x1024.")
    sources: tuple[Source, ...] = ()

    def wanted(self) -> UsageFilter:
        operations = tuple(source.removeprefix(SOURCE) for source in self.sources)
        more: dict[UsageField, tuple[str, ...]] = {"size": self.sizes, "operation": operations}
        return UsageFilter(self.fields(), self.only() | {name: values for name, values in more.items() if values})


class ImagesQuery(_Images, _Paged):
    def period(self) -> Period:
        """Make the period to read. Raises InvalidValue for the limit."""
        buckets_max = self.buckets_max(*BUCKETS[self.bucket_width])
        return Period(self.start_time, self.end_time, self.bucket_width, buckets_max, self.page)


class ImagesCsvQuery(_Images):
    bom: bool = Field(False, description="Begin with a byte order mark, for spreadsheets that ask for one.")


class CostsQuery(_Query, _Paged):
    bucket_width: Literal["1d"] = "1d"
    group_by: tuple[CostsField, ...] = Field((), description="`model` is an extension.")
    line_items: Values = Field((), description="Like `gpt-image-1, image.generation`.")

    def period(self) -> Period:
        """Make the period to read. Raises InvalidValue for the limit."""
        return Period(self.start_time, self.end_time, self.bucket_width, self.buckets_max(*COST_BUCKETS), self.page)

    def wanted(self) -> UsageFilter:
        return UsageFilter(self.fields(), self.only(), tuple(map(_item, self.line_items)))


def line_item(model: str, operation: str) -> str:
    """Make a line item like `gpt-image-1, image.generation`."""
    return f"{model}, {SOURCE}{operation}"


def _item(text: str) -> tuple[str, str]:
    model, _, source = text.rpartition(", ")
    return model, source.removeprefix(SOURCE)
