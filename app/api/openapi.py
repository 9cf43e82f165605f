"""What the API's own documentation says of bodies and answers that the routes read and write by themselves."""

from typing import Any

ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_EXAMPLE_ERROR = {
    "error": {
        "message": "The monthly spend limit of user lin has 0.40 CNY left of 20.00 CNY (resets 2026-12-01T00:00:00+08:00); this "
        "request may need 1.00 CNY. Your administrator can raise the limit.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }
}
_FACTS: dict[str, Any] = {
    "model": {"type": "string", "default": "gpt-image-1", "example": "seedream-3.0"},
    "n": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
    "size": {"type": "string", "maxLength": 32, "example": "1024x1024"},
    "quality": {"type": "string", "maxLength": 32, "example": "high"},
    "stream": {"type": "boolean", "default": False},
    "partial_images": {"type": "integer", "minimum": 0, "maximum": 3, "default": 0},
    "user": {"type": "string", "maxLength": 256},
}
_PROMPT = {"prompt": {"type": "string", "minLength": 1, "maxLength": 32000, "example": "A lighthouse at dusk"}}
_IMAGE = {
    "type": "object",
    "properties": {
        "b64_json": {"type": "string"},
        "url": {"type": "string"},
        "revised_prompt": {"type": "string"},
    },
}
_IMAGES = {
    "type": "object",
    "required": ["created", "data"],
    "properties": {
        "created": {"type": "integer", "description": "Seconds since the epoch."},
        "data": {"type": "array", "items": _IMAGE},
        "size": {"type": "string"},
        "quality": {"type": "string"},
        "background": {"type": "string"},
        "output_format": {"type": "string"},
        "usage": {"type": "object"},
    },
}
_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}, "maxItems": 16}
_REFERENCE = {"type": "object", "required": ["image_url"], "properties": {"image_url": {"type": "string"}}}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"schema": {"type": "object", "required": list(required), "properties": properties}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}


def _answers(ok: dict[str, Any], *statuses: int) -> dict[int | str, dict[str, Any]]:
    refusal = {"description": "Refused", "content": {"application/json": {"schema": ERROR, "example": _EXAMPLE_ERROR}}}
    return {200: ok, **dict.fromkeys(statuses, refusal)}


_BOUGHT = {
    "description": "The images. With `stream: true`, events `*.partial_image` and `*.completed` instead.",
    "content": {"application/json": {"schema": _IMAGES}, "text/event-stream": {"schema": {"type": "string"}}},
}
_REFUSALS = (400, 401, 403, 404, 413, 415, 424, 429, 500, 502, 503)
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_KEY: dict[str, Any] = {"security": [{"apiKey": []}]}
_MULTIPART = _object(
    _PROMPT | _FACTS | {"image": _FILES, "mask": {"type": "string", "format": "binary"}}, "prompt", "image"
)
_REFERENCES = _object(
    _PROMPT | _FACTS | {"images": {"type": "array", "items": _REFERENCE, "maxItems": 16}, "mask": _REFERENCE},
    "prompt",
    "images",
)

SECURITY = {
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key: sk-ig-..."},
    "adminApiKey": {"type": "http", "scheme": "bearer", "description": "An admin API key: sk-ig-admin-..."},
}
GENERATIONS: dict[str, Any] = {
    "responses": _answers(_BOUGHT, *_REFUSALS),
    "openapi_extra": _KEY | _body({"application/json": _object(_PROMPT | _FACTS, "prompt")}),
}
EDITS: dict[str, Any] = {
    "responses": _answers(_BOUGHT, *_REFUSALS),
    "openapi_extra": _KEY | _body({"multipart/form-data": _MULTIPART, "application/json": _REFERENCES}),
}
VARIATIONS: dict[str, Any] = {
    "responses": _answers(_BOUGHT, *_REFUSALS),
    "openapi_extra": _KEY | _body({"multipart/form-data": _object(_FACTS | {"image": _FILES}, "image")}),
}
MODELS: dict[str, Any] = {
    "responses": _answers(
        {
            "description": "The models.",
            "content": {
                "application/json": _object({"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}})
            },
        },
        401,
        429,
        503,
    ),
    "openapi_extra": _KEY,
}
MODEL: dict[str, Any] = {
    "responses": _answers(
        {"description": "The model.", "content": {"application/json": {"schema": _MODEL}}}, 401, 404, 429, 503
    ),
    "openapi_extra": _KEY,
}
_REQUEST = {
    "type": "object",
    "required": ["id", "object", "state", "operation", "model", "n", "currency", "created_at"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "image.request"},
        "state": {"enum": ["reserved", "dispatched", "settled", "released", "unknown"]},
        "operation": {"enum": ["generation", "edit", "variation"]},
        "model": {"type": "string"},
        "n": {"type": "integer"},
        "images": {"type": ["integer", "null"]},
        "cost": {"type": ["string", "null"], "description": "A plain decimal."},
        "currency": {"type": "string"},
        "created_at": {"type": "integer", "description": "Seconds since the epoch."},
        "dispatched_at": {"type": ["integer", "null"]},
        "ended_at": {"type": ["integer", "null"]},
        "error": {"type": ["object", "null"]},
    },
}
_SHOWN = {"description": "State, cost and times.", "content": {"application/json": {"schema": _REQUEST}}}
REQUEST: dict[str, Any] = {"responses": _answers(_SHOWN, 401, 404, 503), "openapi_extra": _KEY}
REQUEST_RESULT: dict[str, Any] = {
    "responses": _answers(_BOUGHT, 401, 404, 410, 424, 503) | {202: _SHOWN},
    "openapi_extra": _KEY,
}
HEALTH: dict[str, Any] = {"responses": {200: {"description": "Alive."}}}
READY: dict[str, Any] = {"responses": {200: {"description": "Served."}, 503: {"description": "Not served now."}}}
