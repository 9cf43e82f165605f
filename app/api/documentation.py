"""The API's own documentation: `/openapi.json`, and `/docs`, a page whose every file is served from here."""

from collections.abc import Iterator
from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles

from app.api import openapi
from app.api.deps import caller
from app.api.organization.deps import admin, admin_writer
from app.api.organization.docs import ADMIN, OWN, described

DESCRIPTION = """A gateway between a team and paid image models.

The Images and Models APIs are OpenAI's and take an API key (`sk-ig-...`). Everything under `/v1/organization` is OpenAI's
Administration API and takes an admin API key (`sk-ig-admin-...`). What OpenAI does not have is marked `x-extension`.
Every error is OpenAI's error object, and `x-should-retry: false` stands wherever trying again cannot help or could cost money.
"""
_ASSETS = "/docs/assets"
_VALIDATION = ("HTTPValidationError", "ValidationError")


def install_documentation(api: FastAPI) -> None:
    """After every route is there. The document is made when it is asked for first."""
    known: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not known:
            known.update(openapi_document(api))
        return known

    api.openapi = document  # type: ignore[method-assign]  # The way FastAPI documents.
    api.get("/openapi.json", include_in_schema=False)(openapi_json)
    api.get("/docs", include_in_schema=False)(docs)
    files = resources.files("fastapi_offline") / "static"
    api.mount(_ASSETS, StaticFiles(directory=str(files)), name="docs assets")


# Not inside of the above: FastAPI remembers every function that is a route, and with a closure the whole application.
async def openapi_json(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())


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


def openapi_document(api: FastAPI) -> dict[str, Any]:
    """What the routes say of themselves, and of each who may call it and how it refuses."""
    document = get_openapi(title=api.title, version=api.version, description=DESCRIPTION, routes=api.routes)
    components = document.setdefault("components", {})
    components["securitySchemes"] = openapi.SECURITY
    for name in _VALIDATION:  # FastAPI's 422, which nobody is ever sent.
        components.get("schemas", {}).pop(name, None)
    for context in iter_route_contexts(api.routes):
        path = document["paths"].get(context.path_format, {})
        for method in context.methods or ():
            if (operation := path.get(method.lower())) is not None:
                _complete(operation, context, method)
    return document


def guard_of(context: RouteContext) -> list[dict[str, list[str]]] | None:
    """Whose key a route asks for, by what it depends on; None for one that is for everybody."""
    dependant = getattr(context, "dependant", None)
    calls = set(_calls(dependant)) if isinstance(dependant, Dependant) else set()
    if admin in calls:
        return ADMIN
    return OWN if caller in calls else None


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


def _complete(operation: dict[str, Any], context: RouteContext, method: str) -> None:
    answers, guard = operation["responses"], guard_of(context)
    answers.pop("422", None)
    for status, told in (getattr(context, "responses", None) or {}).items():
        if "content" in told:  # As the route says it: FastAPI leaves out every null of an example.
            answers[str(status)]["content"] = told["content"]
    if guard is None:
        return
    operation["security"] = guard
    statuses = [400] if operation.get("requestBody") or operation.get("parameters") else []
    statuses += [404] if "{" in (context.path_format or "") else []
    dependant: Any = getattr(context, "dependant", None)
    if guard == ADMIN and (method != "GET" or admin_writer in set(_calls(dependant))):
        statuses += [403]
    for status, refusal in described({}, *statuses)["responses"].items():
        if status != 200:
            answers.setdefault(str(status), refusal)
