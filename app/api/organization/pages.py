"""Lists as OpenAI's: `object`, `data`, `first_id`, `last_id`, `has_more`; `after` and `limit` to go on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic import AfterValidator
from starlette.requests import Request

from app.errors import InvalidValue
from app.store.pages import Page

LIMIT = 20
LIMIT_MAX = 100
LIST_MAX = 100
T = TypeVar("T")


After = Annotated[str | None, Query(max_length=200, description="The id of the last object you have.")]
Limit = Annotated[
    int,
    AfterValidator(lambda count: count or LIMIT),
    Query(
        ge=0,
        le=LIMIT_MAX,
        description="How many to return: 1 to 100. 0, as clients write what was never set, is the default.",
    ),
]


def listed(page: Page[T], show: Callable[[T], Mapping[str, Any]]) -> dict[str, Any]:
    """A page as an answer; `show` makes an object, with its `id`, of a record."""
    return list_object([show(record) for record in page.records], page.has_more)


def list_object(data: Sequence[Mapping[str, Any]], has_more: bool = False) -> dict[str, Any]:
    """OpenAI's list of objects that have an `id`."""
    return {
        "object": "list",
        "data": list(data),
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def values_of(request: Request, name: str) -> list[str]:
    """A list in a query, as the SDKs write it (`name[]=a&name[]=b`) and as everybody else does (`name=a&name=b`).

    Raises InvalidValue for more than LIST_MAX.
    """
    found = request.query_params.getlist(name) + request.query_params.getlist(f"{name}[]")
    if len(found) > LIST_MAX:
        raise InvalidValue(f"{name} takes at most {LIST_MAX} values.", param=name)
    return found


def seconds_of(request: Request, name: str) -> int | None:
    """An instant in a query, in seconds since the epoch. Raises InvalidValue."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise InvalidValue(f"{name} must be whole seconds since 1970-01-01 UTC.", param=name)
    return int(text)
