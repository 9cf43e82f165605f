"""Image routes are called past FastAPI's parameters: whatever else they were told to depend on would never be asked."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.api.deps import caller
from app.api.images import router
from app.main import create_app
from tests.gateways import running_gateway


async def test_an_image_route_depends_on_its_caller_and_on_nothing_that_would_be_passed_over(tmp_path: Path) -> None:
    async with running_gateway(tmp_path, "http://127.0.0.1:9") as running:
        app: Any = create_app(running.gateway)
    while not isinstance(app, FastAPI):
        app = app.app
    endpoints = {route.endpoint for route in router.routes}  # type: ignore[attr-defined]
    found: list[Any] = [context for context in iter_route_contexts(app.routes) if context.endpoint in endpoints]

    assert {context.path for context in found} == {
        f"/v1/images/{what}" for what in ("generations", "edits", "variations")
    }
    for context in found:
        assert [inner.call for inner in context.dependant.dependencies] == [caller]
        parameters = (context.dependant.path_params, context.dependant.query_params, context.dependant.body_params)
        assert not any((*parameters, context.dependant.header_params, context.dependant.cookie_params))
