"""Query strings of reports: read whole, and checked like a body, because a filter with a typing error would report too much."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from app.api.errors import validation_error
from app.errors import InvalidValue

T = TypeVar("T", bound=BaseModel)
VALUES_MAX = 1000
_INDEX = re.compile(r"\[\d*\]$")


class Query(BaseModel):
    """What a query string may say. Lists come as `name[]=a&name[]=b`, as `name=a&name=b`, or as `name[0]=a&name[1]=b`."""

    model_config = ConfigDict(extra="forbid")


def query(model: type[T]) -> Callable[[Request], Awaitable[T]]:
    """For `Annotated[UsageQuery, Depends(query(UsageQuery))]`. An unknown name is a 400, as is a value given twice."""
    lists = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is tuple}

    async def read(request: Request) -> T:
        try:
            return model.model_validate(_values(request, lists))
        except ValidationError as exc:
            raise validation_error(exc.errors(include_url=False, include_input=False)[0]) from None

    return read


def _values(request: Request, lists: set[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in request.query_params.multi_items():
        name = _INDEX.sub("", key)
        if name not in lists:
            if name in given:
                raise InvalidValue(f"{name[:100]} is given twice.", param=name[:100])
            given[name] = value
            continue
        values = given.setdefault(name, [])
        values.append(value)
        if len(values) > VALUES_MAX:
            raise InvalidValue(f"{name} takes {VALUES_MAX} values at most.", param=name)
    return given
