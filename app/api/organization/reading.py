"""Readers of requests to the administration API: JSON bodies, query strings, and cursors of lists."""

import asyncio
import re
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, get_origin

from fastapi import Depends
from fastapi import Query as QueryField
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from app.api.body import CLOSE, read_json
from app.api.deps import body_caps
from app.api.errors import validation_error
from app.api.schemas.base import IGNORED, IGNORED_HEADER
from app.errors import BadRequest, BodyTooLarge, InvalidValue

T = TypeVar("T", bound=BaseModel)
LIMIT = 20
LIMIT_MAX = 100
LIST_MAX = 100
VALUES_MAX = 1000
_INDEX = re.compile(r"\[\d*\]$")

After = Annotated[str | None, QueryField(max_length=200, description="Id of the last object of the page before.")]
Before = Annotated[str | None, QueryField(max_length=200, description="Id of the first object of the page after.")]
Order = Annotated[Literal["asc", "desc"], QueryField(description="By creation.")]
Limit = Annotated[
    int,
    AfterValidator(lambda count: count or LIMIT),
    QueryField(
        ge=0,
        le=LIMIT_MAX,
        description="How many to return: 1 to 100. 0, which clients send for an unset field, is the default.",
    ),
]


class JsonBody(Generic[T]):
    """Dependency that reads a JSON body. A header of the answer names the fields without effect."""

    def __init__(self, model: type[T]):
        self.model = model
        self.ignored = {name for name, field in model.model_fields.items() if IGNORED in field.metadata}

    async def __call__(self, request: Request, response: Response) -> T:
        found = await read_json(request, body_caps(request))
        body = _validated(self.model, found)
        if names := [name for name in found if name in self.ignored and found[name] is not None]:
            response.headers[IGNORED_HEADER] = ", ".join(names)
        return body


class QueryModel(BaseModel):
    """Base of query strings of reports. An unknown name is a 400, because a misspelt filter would report too much."""

    model_config = ConfigDict(extra="forbid")


class QueryString(Generic[T]):
    """Dependency that reads a query string, for `Annotated[CostsQuery, Depends(QueryString(CostsQuery))]`.

    Lists come as `name[]=a&name[]=b`, as `name=a&name=b`, or as `name[0]=a&name[1]=b`; another value given twice is a 400.
    """

    def __init__(self, model: type[T]):
        self.model = model
        self.lists = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is tuple}

    async def __call__(self, request: Request) -> T:
        return _validated(self.model, self._values(request))

    def _values(self, request: Request) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for key, value in request.query_params.multi_items():
            name = _INDEX.sub("", key)
            if name not in self.lists:
                if name in given:
                    raise InvalidValue(f"{name[:100]} is given twice.", param=name[:100])
                given[name] = value
                continue
            values = given.setdefault(name, [])
            values.append(value)
            if len(values) > VALUES_MAX:
                raise InvalidValue(f"{name} takes {VALUES_MAX} values at most.", param=name)
        return given


if TYPE_CHECKING:
    Body = Annotated[T, "a JSON body"]
else:

    class Body:
        """Parameter of a route that JsonBody reads: `body: Body[ProjectCreate]`. Put it after `AdminWriter`, so that the body of a
        caller who may not write is not read."""

        def __class_getitem__(cls, model):
            return Annotated[model, Depends(JsonBody(model))]


def _validated(model: type[T], given: dict[str, Any]) -> T:
    try:
        return model.model_validate(given)
    except ValidationError as exc:
        raise validation_error(exc.errors(include_url=False, include_input=False)[0]) from None


async def read_text(request: Request, bytes_max: int) -> str:
    """Read a document of at most `bytes_max` bytes. Raises BodyTooLarge, and BadRequest for a body that stalls."""
    read = bytearray()
    try:
        async with asyncio.timeout(body_caps(request).idle_s):
            async for chunk in request.stream():
                read += chunk
                if len(read) > bytes_max:
                    raise BodyTooLarge(f"The document has more than {bytes_max:,} bytes; send it in parts.")
    except TimeoutError:
        raise BadRequest("The body stalled; send it faster.", headers=CLOSE) from None
    return bytes(read).decode("utf-8", "replace")


def values_of(request: Request, name: str) -> list[str]:
    """Read a list from the query, written as `name[]=a&name[]=b` (the SDKs) or `name=a&name=b`.

    Raises InvalidValue for more than LIST_MAX.
    """
    found = request.query_params.getlist(name) + request.query_params.getlist(f"{name}[]")
    if len(found) > LIST_MAX:
        raise InvalidValue(f"{name} takes at most {LIST_MAX} values.", param=name)
    return found


def seconds_of(request: Request, name: str) -> int | None:
    """Read an instant from the query, in seconds since the epoch. Raises InvalidValue."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        raise InvalidValue(f"{name} must be whole seconds since 1970-01-01 UTC.", param=name)
    return int(text)
