"""What a request to the administration API may say: one model for each, and nothing beside its fields."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.requests import Request

from app.api.body import read_json
from app.api.deps import Caps
from app.api.errors import validation_error

T = TypeVar("T", bound=BaseModel)
READ_ONLY = "api.all.read"


class Body(BaseModel):
    """An unknown field is a 400, and no number is made of a string."""

    model_config = ConfigDict(extra="forbid", strict=True)


def body(model: type[T]) -> Callable[[Request, Caps], Awaitable[T]]:
    """For `Annotated[ProjectCreate, Depends(body(ProjectCreate))]`. Stands after `AdminWriter`, so that who may not write is
    told so, and nobody else's body is read."""

    async def read(request: Request, caps: Caps) -> T:
        found = await read_json(request, caps)
        try:
            return model.model_validate(found)
        except ValidationError as exc:
            raise validation_error(exc.errors(include_url=False, include_input=False)[0]) from None

    return read


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


def _refuse(value: Any) -> None:
    if value is not None:
        raise ValueError("this gateway has nothing of the kind; leave it out")


def _known_scopes(value: list[str] | None) -> list[str] | None:
    if value not in (None, [], [READ_ONLY]):
        raise ValueError(
            f"scopes are [] for all permissions or ['{READ_ONLY}']; which models a key may use is told by models"
        )
    return value


Lacking = Annotated[None, BeforeValidator(_refuse)]
"""A field of OpenAI's for something this gateway does not have: null says nothing and is taken, a value is a 400."""

Scopes = Annotated[list[str] | None, AfterValidator(_known_scopes)]
"""OpenAI's: an empty list means all permissions, `api.all.read` looking only. Its finer scopes are a 400."""
