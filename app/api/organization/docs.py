"""What the API's own documentation says of routes that read and write by themselves."""

from typing import Any

from pydantic import BaseModel

from app.api import openapi
from app.api.organization.bodies import IGNORED_HEADER, ignored_by, takes

ADMIN: list[dict[str, list[str]]] = [{"adminApiKey": []}]
OWN: list[dict[str, list[str]]] = [{"apiKey": []}]
EXTENSION = "Not one of OpenAI's: an extension. "
_REFUSED: dict[int, tuple[str, str, str | None]] = {
    400: ("invalid_value", "The interval is day, week, month or lifetime.", "interval"),
    401: ("invalid_api_key", "Incorrect API key provided. Ask your administrator for a new one.", None),
    403: ("permission_denied", "This admin API key is a reader's: it may look at everything and change nothing.", None),
    404: ("not_found", "There is no project 'proj_none'. `imagegate projects list` names them all.", "project"),
    409: ("conflict", "The project 'web' is archived; choose another.", "project"),
    429: ("rate_limit_exceeded", "Too many calls from your address (600 per minute). Try again in a minute.", None),
    503: ("store_unavailable", "The database of the gateway does not answer. Try again in a few seconds.", None),
}
_IGNORED = {"description": "What was sent and does nothing here.", "schema": {"type": "string"}}
_TYPES = {429: "requests", 503: "server_error"}


def described(
    example: Any,
    *statuses: int,
    body: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    extension: bool = False,
    security: list[dict[str, list[str]]] = ADMIN,
    content: str = "application/json",
) -> dict[str, Any]:
    """Keyword arguments for a route: an example of its answer, what it may refuse with besides 401, 429 and 503, and what it
    reads by hand."""
    ok: dict[str, Any] = {"description": "As asked.", "content": {content: {"example": example}}}
    extra: dict[str, Any] = {"security": security}
    if body is not None:
        extra |= takes(body)["openapi_extra"]
        if ignored_by(body):
            ok["headers"] = {IGNORED_HEADER: _IGNORED}
    if query is not None:
        extra["parameters"] = parameters(query)
    if extension:
        extra["x-extension"] = True
    return {"responses": {200: ok, **_refusals(401, 429, 503, *statuses)}, "openapi_extra": extra}


def parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    """The fields of `query` as parameters; lists are written as OpenAI's SDKs write them, `name[]=a&name[]=b`."""
    schema = _schema(query)
    required = schema.get("required", [])
    return [
        {
            "name": f"{name}[]" if "items" in (shape := _flat(given)) else name,
            "in": "query",
            "required": name in required,
            "description": given.get("description", ""),
            "schema": shape,
        }
        for name, given in schema["properties"].items()
    ]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _flat(given: dict[str, Any]) -> dict[str, Any]:
    """Without the null that stands for a parameter left out."""
    variants = [variant for variant in given.get("anyOf", [given]) if variant.get("type") != "null"]
    return {name: value for name, value in variants[0].items() if name not in ("title", "description")}


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: _refusal(status) for status in sorted(set(statuses))}


def _refusal(status: int) -> dict[str, Any]:
    code, message, param = _REFUSED[status]
    kind = _TYPES.get(status, "invalid_request_error")
    example = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return {"description": "Refused.", "content": {"application/json": {"schema": openapi.ERROR, "example": example}}}
