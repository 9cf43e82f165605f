"""The image endpoints. No route decides anything: refusals arrive as exceptions."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import openapi
from app.api.answers import EventResponse, ResultResponse, has_left
from app.api.body import BodyCaps, read_edit, read_generation, read_variation
from app.api.collection import accepted
from app.api.deps import Caller, body_caps, caller, wired
from app.api.errors import client_left, gateway_error
from app.core.grants import Grant
from app.core.request import ImageRequest
from app.core.retry import Retry
from app.errors import GatewayError
from app.images.service import ClientGone

Read = Callable[[Request, BodyCaps], Awaitable[ImageRequest]]


router = APIRouter(prefix="/images", tags=["Images"])


@router.post("/generations", **openapi.GENERATIONS)
async def generate(request: Request, grant: Caller) -> Response:
    """Create images from a prompt. Fields this gateway has no opinion on go to the relay as they came."""
    return await _buy(request, grant, read_generation)


@router.post("/edits", **openapi.EDITS)
async def edit(request: Request, grant: Caller) -> Response:
    """Edit one or more images by a prompt: a multipart form, or JSON with data URLs."""
    return await _buy(request, grant, read_edit)


@router.post("/variations", **openapi.VARIATIONS)
async def vary(request: Request, grant: Caller) -> Response:
    """Variations of an image, for models whose catalog entry allows it; none does by default."""
    return await _buy(request, grant, read_variation)


class StraightToImages:
    """Calls the image routes itself, past FastAPI, which documents them: what it does for any route would be a sixth of the work
    of a small request. All other requests go to `app`."""

    def __init__(self, app: FastAPI, prefix: str):
        self.app = app
        routes = [route for route in router.routes if isinstance(route, APIRoute)]
        self._endpoints = {prefix + route.path: route.endpoint for route in routes}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        endpoint = self._endpoints.get(scope["path"]) if is_post else None
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        scope["app"] = self.app
        request = Request(scope, receive, send)
        try:
            response = await endpoint(request, await caller(request))
        except GatewayError as exc:
            response = await gateway_error(request, exc)
        except ClientDisconnect as exc:
            response = await client_left(request, exc)
        await response(scope, receive, send)


async def _buy(request: Request, grant: Grant, read: Read) -> Response:
    gateway, wanted = await wired(request), await read(request, await body_caps(request))
    retry, later = Retry.of(request.headers), _prefers_later(request)
    request_id = request.scope["state"]["request_id"]

    async def left() -> bool:
        return has_left(request.scope)

    try:
        pending = await gateway.image_service.submit(request_id, grant, wanted, retry, left, collected=later)
    except ClientGone as exc:
        raise ClientDisconnect from exc
    if later:
        return await accepted(gateway, pending)
    if not wanted.stream:
        return ResultResponse(pending, await pending.result(), gateway)
    events = pending.events()
    return EventResponse(pending, await anext(events), events)


def _prefers_later(request: Request) -> bool:
    """`Prefer: respond-async`, RFC 7240: the answer is collected later, whatever proxies think of long calls."""
    wishes = request.headers.getlist("prefer")
    return any(wish.strip().lower() == "respond-async" for line in wishes for wish in line.split(","))
