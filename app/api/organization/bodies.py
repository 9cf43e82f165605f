"""What a request to the administration API may say: one model for each, and nothing beside its fields."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from app.api.body import read_json
from app.api.deps import Caps
from app.api.errors import validation_error

T = TypeVar("T", bound=BaseModel)
IGNORED_HEADER = "x-imagegate-ignored"
IMAGE_SCOPES = frozenset({"api.model.request", "model.request", "api.model.images.request"})
"""What OpenAI calls the permission to make images: the first in its SDK (`audit_log_list_response.py`), the others where it
refuses ("Missing scopes: ...")."""
IGNORED = object()
"""Marks a field of OpenAI's that is taken and does nothing here: an answer to a body in which it is not null names it."""
Ignored = Annotated[
    str | None, Field(description=f"Taken, and does nothing here; `{IGNORED_HEADER}` names it."), IGNORED
]


class Body(BaseModel):
    """An unknown field is a 400, and no number is made of a string."""

    model_config = ConfigDict(extra="forbid", strict=True)


def body(model: type[T]) -> Callable[[Request, Caps, Response], Awaitable[T]]:
    """For `Annotated[ProjectCreate, Depends(body(ProjectCreate))]`. Stands after `AdminWriter`, so that who may not write is
    told so, and nobody else's body is read. The answer names the fields in it that do nothing."""

    async def read(request: Request, caps: Caps, response: Response) -> T:
        found = await read_json(request, caps)
        try:
            wanted = model.model_validate(found)
        except ValidationError as exc:
            raise validation_error(exc.errors(include_url=False, include_input=False)[0]) from None
        if names := [name for name in found if name in ignored_by(model) and found[name] is not None]:
            response.headers[IGNORED_HEADER] = ", ".join(names)
        return wanted

    return read


def ignored_by(model: type[BaseModel]) -> set[str]:
    """The fields that do nothing."""
    return {name for name, field in model.model_fields.items() if IGNORED in field.metadata}


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """For a route's decorator: what its documentation says of the body."""
    schema = model.model_json_schema(by_alias=True)
    example = {"example": schema.pop("example")} if "example" in schema else {}
    content = {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {})), **example}}
    return {"openapi_extra": {"requestBody": {"required": True, "content": content}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Each `$ref` replaced by what it means: the document has no place for the definitions of a body read by hand. What
    would refer to them by name, a discriminator, goes."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items() if name != "discriminator"}


def only_looks(scopes: list[str] | None) -> bool:
    """Whether a key with these may buy no images. Null and an empty list are every permission, as at OpenAI."""
    return bool(scopes) and IMAGE_SCOPES.isdisjoint(scopes or ())


Scopes = Annotated[list[str] | None, Field(description="Read `scopes` of the answer for what the key may do.")]
"""OpenAI's: see `only_looks`. A scope that is not known here grants nothing."""
