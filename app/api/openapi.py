"""OpenAPI descriptions of the bodies and responses that routes read and write without FastAPI's models."""

from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from app.api.schemas.images import ImageRequestOut, ImagesOut

ADMIN: list[dict[str, list[str]]] = [{"adminApiKey": []}]
OWN: list[dict[str, list[str]]] = [{"apiKey": []}]
ERROR = {"$ref": "#/components/schemas/ErrorOut"}
IGNORED = {"description": "What was sent and does nothing here.", "schema": {"type": "string"}}
_REFUSALS_BY_STATUS: dict[int, tuple[str, str, str | None]] = {
    400: ("invalid_value", "The interval is day, week, month or lifetime.", "interval"),
    401: ("invalid_api_key", "Incorrect API key provided. Ask your administrator for a new one.", None),
    403: ("permission_denied", "This admin API key is a reader's: it may look at everything and change nothing.", None),
    404: ("not_found", "There is no project 'proj_none'. `imagegate projects list` names them all.", "project"),
    409: ("conflict", "The project 'web' is archived; choose another.", "project"),
    429: ("rate_limit_exceeded", "Too many calls from your address (600 per minute). Try again in a minute.", None),
    503: ("store_unavailable", "The database of the gateway does not answer. Try again in a few seconds.", None),
}
_TYPES = {429: "requests", 503: "server_error"}


def add_schema(schemas: dict[str, Any], model: type[BaseModel]) -> dict[str, str]:
    """Add a model and its parts to the document's schemas; returns the reference to it."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= schema.pop("$defs", {})
    schemas[model.__name__] = schema
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def parameters(query: type[BaseModel]) -> list[dict[str, Any]]:
    """Make query parameters of the fields of `query`; lists are written as OpenAI's SDKs do, `name[]=a&name[]=b`."""
    schema = query.model_json_schema()
    required = schema.get("required", [])
    return [
        {
            "name": f"{name}[]" if "items" in (shape := _without_null(field)) else name,
            "in": "query",
            "required": name in required,
            "description": field.get("description", ""),
            "schema": shape,
        }
        for name, field in schema["properties"].items()
    ]


def refusal(status: int) -> dict[str, Any]:
    """Make the response for a refusal with this status, with an example."""
    code, message, param = _REFUSALS_BY_STATUS[status]
    kind = _TYPES.get(status, "invalid_request_error")
    example = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return {"description": "Refused.", "content": {"application/json": {"schema": ERROR, "example": example}}}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """Drop the null type, title and description of a field's schema."""
    variants = [variant for variant in field.get("anyOf", [field]) if variant.get("type") != "null"]
    return {name: value for name, value in variants[0].items() if name not in ("title", "description")}


_FIELD_SCHEMAS: dict[str, Any] = {
    "model": {"type": "string", "default": "gpt-image-1", "example": "seedream-3.0"},
    "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
    "size": {"type": "string", "maxLength": 32, "example": "1024x1024"},
    "quality": {"type": "string", "maxLength": 32, "example": "high"},
    "stream": {"type": "boolean", "default": False},
    "partial_images": {"type": "integer", "minimum": 0, "maximum": 3, "default": 0},
    "user": {"type": "string", "maxLength": 256},
}
_PROMPT = {"prompt": {"type": "string", "minLength": 1, "maxLength": 32000, "example": "A lighthouse at dusk"}}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": 16}
_REFERENCE = {"type": "object", "required": ["image_url"], "properties": {"image_url": {"type": "string"}}}


_PNG = "iVBORw0KGgo..."
_EVENTS = (
    "event: image_generation.partial_image\n"
    f'data: {{"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "{_PNG}"}}\n\n'
    "event: image_generation.completed\n"
    f'data: {{"type": "image_generation.completed", "b64_json": "{_PNG}", "size": "1024x1024"}}\n\n'
)
_GENERATION = {"model": "gpt-image-1", "prompt": "A lighthouse at dusk", "n": 1, "size": "1024x1024"}
_FORM = {"model": "gpt-image-1", "prompt": "Make it night", "image": "@lighthouse.png"}
_BY_REFERENCE = {
    "model": "gpt-image-1",
    "prompt": "Make it night",
    "images": [{"image_url": f"data:image/png;base64,{_PNG}"}],
}


def _object(properties: dict[str, Any], *required: str, example: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": {"type": "object", "required": list(required), "properties": properties},
        "example": example,
    }


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _refused(*statuses: int) -> dict[int | str, dict[str, Any]]:
    refused = {"description": "Refused", "content": {"application/json": {"schema": ERROR}}}
    return dict.fromkeys(statuses, refused)


ONLY_OWNER = _refused(403)
"""Responses of changes that only the owner of a picture makes, with a key that does more than look."""

_ANSWER_HEADERS: dict[str, Any] = {
    "x-imagegate-duplicate-of": {
        "description": "Kept picture that you bought in this project by an equal request before.",
        "schema": {"type": "string", "example": "req_01a1ff32beb40ea6e55605530862_0"},
    },
    "x-imagegate-duplicate": {
        "description": "`served`: the answer is made of those pictures; it cost nothing.",
        "schema": {"type": "string", "enum": ["served"]},
    },
}
_SERVE = {
    "name": "x-imagegate-duplicate",
    "in": "header",
    "description": "`serve`: where you bought the same in this project before and all `n` pictures are kept, they are the answer, "
    "and nothing is bought.",
    "schema": {"type": "string", "enum": ["serve"]},
}
_BOUGHT: dict[str, Any] = {
    "description": "The images. With `stream: true`, events `*.partial_image` and `*.completed` instead.",
    "model": ImagesOut,
    "headers": _ANSWER_HEADERS,
    "content": {"text/event-stream": {"schema": {"type": "string", "example": _EVENTS}}},
}
_IMAGE_ANSWERS = {200: _BOUGHT, **_refused(400, 401, 403, 404, 413, 415, 424, 429, 500, 502, 503)}
_KEY: dict[str, Any] = {"security": [{"apiKey": []}], "parameters": [_SERVE]}
_MULTIPART = _object(
    _PROMPT | _FIELD_SCHEMAS | {"image": _FILES, "mask": {"type": "string", "format": "binary"}},
    "prompt",
    "image",
    example=_FORM,
)
_REFERENCES = _object(
    _PROMPT | _FIELD_SCHEMAS | {"images": {"type": "array", "items": _REFERENCE, "maxItems": 16}, "mask": _REFERENCE},
    "prompt",
    "images",
    example=_BY_REFERENCE,
)

SECURITY = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key: sk-ig-..."},
    "adminApiKey": {"type": "http", "scheme": "bearer", "description": "An admin API key: sk-ig-admin-..."},
}
GENERATIONS: dict[str, Any] = {
    "responses": _IMAGE_ANSWERS,
    "openapi_extra": _KEY
    | _body({"application/json": _object(_PROMPT | _FIELD_SCHEMAS, "prompt", example=_GENERATION)}),
}
EDITS: dict[str, Any] = {
    "responses": _IMAGE_ANSWERS,
    "openapi_extra": _KEY | _body({"multipart/form-data": _MULTIPART, "application/json": _REFERENCES}),
}
VARIATIONS: dict[str, Any] = {
    "responses": _IMAGE_ANSWERS,
    "openapi_extra": _KEY
    | _body(
        {
            "multipart/form-data": _object(
                _FIELD_SCHEMAS | {"image": _FILES}, "image", example={"image": "@lighthouse.png"}
            )
        }
    ),
}
REQUEST_RESULT: dict[str, Any] = {
    "responses": {
        200: _BOUGHT,
        202: {"description": "There is no answer yet.", "model": ImageRequestOut},
        **_refused(410, 424),
    }
}
PICTURE: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "The picture.",
            "content": {"image/*": {"schema": {"type": "string", "format": "binary", "example": "(bytes of a PNG)"}}},
        },
        206: {"description": "The part that the header Range names."},
        304: {"description": "The client has this picture already."},
        **_refused(403, 404, 410, 416, 429, 503),
    },
    "openapi_extra": {"security": [{}, *OWN]},
}
