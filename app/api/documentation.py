"""API documentation: `/openapi.json`, and `/docs`, a page whose files are all served by this gateway."""

import json
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from blake3 import blake3
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles

from app.api import openapi
from app.api.deps import caller
from app.api.organization.deps import admin, admin_writer
from app.api.organization.reading import JsonBody, QueryString
from app.api.schemas.base import EXTENSION, IGNORED_HEADER, ErrorOut
from app.api.schemas.prices import PriceDocument

DESCRIPTION = """A gateway between a team and paid image models.

The Images and Models APIs are OpenAI's and take an API key (`sk-ig-...`). Everything under `/v1/organization` is OpenAI's
Administration API and takes an admin API key (`sk-ig-admin-...`). What OpenAI does not have is marked `x-extension`.
Every error is OpenAI's error object, and `x-should-retry: false` stands wherever trying again cannot help or could cost money.
"""
_ASSETS = "/docs/assets"
_VALIDATION = ("HTTPValidationError", "ValidationError")


def install_documentation(api: FastAPI, all_routes: Callable[[], list[BaseRoute]]) -> None:
    """Add both routes; call it after all other routes of `api`. The document, of `all_routes`, is made at its first request."""
    cache: dict[str, Any] = {}
    lock = threading.Lock()

    def document() -> dict[str, Any]:
        with lock:
            if not cache:
                cache.update(openapi_document(api, all_routes()))
        return cache

    api.openapi = document  # type: ignore[method-assign]  # As FastAPI's documentation does.
    api.get("/openapi.json", include_in_schema=False)(openapi_json)
    api.get("/docs", include_in_schema=False)(docs)
    files = resources.files("fastapi_offline") / "static"
    api.mount(_ASSETS, StaticFiles(directory=str(files)), name="docs assets")


# Module functions, because FastAPI caches every route function for ever, and a closure would keep the whole application.
# A plain function, so that FastAPI runs it in a thread: making the document takes a second of CPU.
def openapi_json(request: Request) -> Response:
    """Send the document, which is written once; 304 to a client that has it."""
    state = request.app.state
    if not hasattr(state, "openapi_json"):
        body = json.dumps(request.app.openapi(), ensure_ascii=False).encode()
        state.openapi_json = body, f'"{blake3(body).hexdigest(length=16)}"'
    body, etag = state.openapi_json
    headers = {"etag": etag, "cache-control": "no-cache"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def docs(request: Request) -> HTMLResponse:
    root = str(request.scope.get("root_path", ""))
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title=request.app.title,
        swagger_js_url=f"{root}{_ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{_ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{_ASSETS}/favicon.png",
        swagger_ui_parameters={"docExpansion": "none", "persistAuthorization": False},
    )


def openapi_document(api: FastAPI, routes: list[BaseRoute]) -> dict[str, Any]:
    """Make the OpenAPI document: FastAPI's, with the bodies and query strings that routes read by themselves, keys and refusals."""
    document = get_openapi(title=api.title, version=api.version, description=DESCRIPTION, routes=routes)
    components = document.setdefault("components", {})
    components["securitySchemes"] = openapi.SECURITY
    schemas = components.setdefault("schemas", {})
    for name in _VALIDATION:  # Models of FastAPI's 422, which is never sent.
        schemas.pop(name, None)
    for model in (ErrorOut, PriceDocument):
        openapi.add_schema(schemas, model)
    for context in iter_route_contexts(routes):
        path = document["paths"].get(context.path_format, {})
        for method in context.methods or ():
            if (operation := path.get(method.lower())) is not None:
                _describe(operation, _calls_of(context), schemas)
                _add_refusals(operation, _calls_of(context), method, context.path_format or "")
    return document


def _security(calls: list[Any]) -> list[dict[str, list[str]]] | None:
    if admin in calls:
        return openapi.ADMIN
    return openapi.OWN if caller in calls else None


def _calls_of(context: RouteContext) -> list[Any]:
    dependant = getattr(context, "dependant", None)
    return list(_calls(dependant)) if isinstance(dependant, Dependant) else []


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


def _describe(operation: dict[str, Any], calls: list[Any], schemas: dict[str, Any]) -> None:
    """Describe the body and query that the route reads by itself, and mark extensions."""
    if any("(extension)" in tag for tag in operation.get("tags", ())):
        operation |= EXTENSION
    for call in calls:
        if isinstance(call, JsonBody):
            content = {"application/json": {"schema": openapi.add_schema(schemas, call.model)}}
            operation["requestBody"] = {"required": True, "content": content}
            if call.ignored:
                operation["responses"]["200"]["headers"] = {IGNORED_HEADER: openapi.IGNORED}
        if isinstance(call, QueryString):
            operation["parameters"] = openapi.parameters(call.model)


def _add_refusals(operation: dict[str, Any], calls: list[Any], method: str, path: str) -> None:
    """Add the refusals that the key, the method, the path and the parameters make possible."""
    answers, security = operation["responses"], _security(calls)
    answers.pop("422", None)
    if security is None:
        return
    operation["security"] = security
    statuses = [401, 429, 503]
    statuses += [400] if operation.get("requestBody") or operation.get("parameters") else []
    statuses += [404] if "{" in path else []
    if security == openapi.ADMIN and (method != "GET" or admin_writer in calls):
        statuses += [403, 409] if method == "POST" else [403]
    for status in statuses:
        answers.setdefault(str(status), openapi.refusal(status))
