"""Bases of all models: answers, inputs, lists, deletions and errors."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.core.scripts import mixed_scripts
from app.store.pages import Page

IGNORED_HEADER = "x-imagegate-ignored"
IGNORED = object()
"""Mark of an input of OpenAI's without effect here. When it is not null, a header of the answer names it."""
Ignored = Annotated[str | None, Field(description=f"Accepted without effect; `{IGNORED_HEADER}` names it."), IGNORED]


class AnswerModel(BaseModel):
    """Base of all answers."""

    # Validators are built at first use: those of all models take 1.5 MiB, and most installations use few of them.
    model_config = ConfigDict(defer_build=True)

    @classmethod
    def from_record(cls, record: Any, **more: Any) -> Self:
        """Make the answer from the record's attributes of the same name, with instants in whole seconds (`created_at` from
        `created_at_ms`). Fields in `more` take precedence."""
        fields: dict[str, Any] = {}
        for name in cls.model_fields.keys() - more.keys():
            if name.endswith("_at") and hasattr(record, f"{name}_ms"):
                fields[name] = seconds(getattr(record, f"{name}_ms"))
            elif hasattr(record, name):
                fields[name] = getattr(record, name)
        return cls(**fields, **more)


class NamedOut(AnswerModel):
    """Base of answers with a `name` that an administrator chose. `name_warning` says where it may look like another name."""

    name_warning: str | None = Field(None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _look_at_name(self) -> Self:
        self.name_warning = mixed_scripts(getattr(self, "name", ""))
        return self


class InputModel(BaseModel):
    """Base of JSON bodies. An unknown field is a 400, and so is a string in place of a number."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


Out = TypeVar("Out", bound=AnswerModel)
Record = TypeVar("Record")


class ListOut(AnswerModel, Generic[Out]):
    """Page of a list. `last_id` is the `after` of the next request."""

    object: Literal["list"] = "list"
    data: list[Out]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    @classmethod
    def of(cls, data: Iterable[Out], *, has_more: bool = False) -> Self:
        """Make a page of objects with an `id`."""
        rows = list(data)
        first_id, last_id = (getattr(rows[index], "id", None) if rows else None for index in (0, -1))
        return cls(data=rows, first_id=first_id, last_id=last_id, has_more=has_more)

    @classmethod
    def of_page(cls, page: Page[Record], make: Callable[[Record], Out]) -> Self:
        """Make a page of records, each converted by `make`."""
        return cls.of(map(make, page.records), has_more=page.has_more)


class DeletedOut(
    AnswerModel, json_schema_extra={"example": {"id": "key_4f8c1n0a2b7m", "object": "api_key.deleted", "deleted": True}}
):
    """Answer to the deletion of an object with an id. `object` is that of the object, with `.deleted`."""

    id: str
    object: str
    deleted: bool = True

    @classmethod
    def of(cls, object: str, id: str) -> Self:
        """Make the answer; `object` is without `.deleted`."""
        return cls(id=id, object=f"{object}.deleted")


class RemovedOut(
    AnswerModel, json_schema_extra={"example": {"object": "project.spend_limit.deleted", "deleted": True}}
):
    """Answer to the deletion of something without an id. `deleted` is false when there was nothing."""

    object: str
    deleted: bool


class ErrorDetail(AnswerModel):
    """Error of a refused request. `param` names the wrong field."""

    message: str
    type: str
    param: str | None
    code: str | None


_LIMIT_REACHED = {
    "error": {
        "message": "The monthly spend limit of user lin has 0.40 CNY left of 20.00 CNY (resets 2026-12-01T00:00:00+08:00); "
        "this request may need 1.00 CNY. Your administrator can raise the limit.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
}


class ErrorOut(AnswerModel, json_schema_extra={"example": _LIMIT_REACHED}):
    """OpenAI's error object, the answer of every refusal."""

    error: ErrorDetail


EXTENSION: dict[str, Any] = {"x-extension": True}
"""`openapi_extra` of a route that OpenAI does not have."""


def absent() -> Any:
    """Make a field that is left out of the answer when it is None."""
    return Field(None, exclude_if=lambda value: value is None)


def seconds(at_ms: int | None) -> int | None:
    """Convert an instant to whole Unix seconds; None stays None."""
    return None if at_ms is None else at_ms // 1000
