"""Error handlers, which turn exceptions into HTTP responses with OpenAI's error object."""

import json
import re
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.errors import (
    BadRequest,
    GatewayError,
    InternalError,
    InvalidJson,
    InvalidType,
    InvalidValue,
    MethodNotAllowed,
    MissingParameter,
    UnknownParameter,
    UnknownUrl,
)
from app.images.service import ClientGone

log = structlog.get_logger()

SERVED = (
    "This gateway serves images only: use POST /v1/images/generations, or POST /v1/images/edits to change a picture; "
    "GET /v1/models lists the models."
)
_OTHER_APIS = re.compile(
    r"(?:/v1)?/(?:responses|chat|completions|embeddings|moderations|audio|videos|files|batches|assistants|threads|realtime|messages)"
    r"(?:/|$)|/openai/|/v1beta/"
)
"""Paths of APIs that clients try where they take every OpenAI address for a whole one: Responses, chat, Azure's, Gemini's."""


def error_response(exc: GatewayError) -> Response:
    """Make the response: body, status, and the headers that tell an SDK whether to retry."""
    # A lone surrogate in a field name cannot be encoded; written as an escape it is valid JSON.
    body = json.dumps(exc.body(), ensure_ascii=False).encode("utf-8", "backslashreplace")
    headers = dict(exc.headers)
    if exc.retryable:
        headers["retry-after"] = str(exc.retry_after_s)
    else:
        headers["x-should-retry"] = "false"
    return Response(body, exc.status, headers, media_type="application/json")


def internal_error_response(scope_state: dict[str, Any], exc: Exception) -> Response:
    """Make a 500 without details; the exception is logged with the request id that the client gets."""
    request_id = scope_state.get("request_id")
    log.error("internal error", request_id=request_id, exc_info=exc)
    response = error_response(InternalError("The gateway failed; tell its administrator the request id."))
    if request_id:
        response.headers["x-request-id"] = request_id
    return response


def install_error_handlers(app: FastAPI) -> None:
    """Register handlers for all exceptions of routes, so that each answers with OpenAI's error object."""
    app.add_exception_handler(GatewayError, _gateway_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(ClientGone, _client_left)
    app.add_exception_handler(Exception, _internal_error)


async def _gateway_error(request: Request, exc: Exception) -> Response:
    """Answer a refusal; log it as well when the fault is on our side."""
    assert isinstance(exc, GatewayError)
    if exc.status >= 500:
        cause = type(exc.__cause__).__name__ if exc.__cause__ else None
        state = request.scope.get("state", {})
        log.warning("refused", code=exc.code, status=exc.status, cause=cause, request_id=state.get("request_id"))
    return error_response(exc)


async def _http_exception(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    headers = dict(exc.headers or {})
    target = f"{request.method} {request.url.path[:200]}"
    if exc.status_code == 404:
        hint = SERVED if _OTHER_APIS.match(request.url.path) else "Check the path and the base URL."
        return error_response(UnknownUrl(f"Unknown request URL: {target}. {hint}"))
    if exc.status_code == 405:
        allowed = headers.get("Allow", headers.get("allow", ""))
        return error_response(MethodNotAllowed(f"Not allowed: {target}; use {allowed}.", headers=headers))
    if exc.status_code >= 500:
        return internal_error_response(request.scope.get("state", {}), exc)
    return error_response(BadRequest(exc.detail, status=exc.status_code, headers=headers))


async def _validation_error(_: Request, exc: Exception) -> Response:
    """Answer the first validation error, without the rejected value."""
    assert isinstance(exc, RequestValidationError)
    first = exc.errors()[0]
    return error_response(validation_error({**first, "loc": first["loc"][1:]}))  # Drops `body` or `query`.


def validation_error(entry: Mapping[str, Any]) -> BadRequest:
    """Make the error for an entry of pydantic's `errors()`, without the rejected value."""
    param = ".".join(str(part) for part in entry["loc"]) or None
    kind = entry["type"]
    message = f"{param or 'The body'}: {entry['msg'].removeprefix('Value error, ').rstrip('.')}."
    if kind == "missing":
        return MissingParameter(message, param=param)
    if kind.startswith("json"):
        return InvalidJson("The body is not valid JSON.")
    if kind == "extra_forbidden":
        return UnknownParameter(f"Unknown parameter: '{(param or '')[:100]}'.", param=param)
    if kind.endswith(("_type", "_parsing")):
        return InvalidType(message, param=param)
    return InvalidValue(message, param=param)


async def _client_left(_: Request, __: Exception) -> Response:
    """Answer 499, which proxies log for a client that hung up; only the access log shows it."""
    return Response(status_code=499)


async def _internal_error(request: Request, exc: Exception) -> Response:
    return internal_error_response(request.scope.get("state", {}), exc)
