"""The image endpoints. No route decides anything: refusals arrive as exceptions."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.api import openapi
from app.api.answers import EventResponse, ResultResponse, has_left
from app.api.body import BodyCaps, read_edit, read_generation, read_variation
from app.api.collection import accepted
from app.api.deps import Caller, body_caps, wired
from app.core.grants import Grant
from app.core.request import ImageRequest
from app.core.retry import Retry
from app.purchase.buyer import ClientGone

Read = Callable[[Request, BodyCaps], Awaitable[ImageRequest]]
router = APIRouter(prefix="/images", tags=["Images"])


@router.post("/generations", **openapi.GENERATIONS)
async def generate(request: Request, caller: Caller) -> Response:
    """Create images from a prompt. Fields this gateway has no opinion on go to the relay as they came."""
    return await _buy(request, caller, read_generation)


@router.post("/edits", **openapi.EDITS)
async def edit(request: Request, caller: Caller) -> Response:
    """Edit one or more images by a prompt: a multipart form, or JSON with data URLs."""
    return await _buy(request, caller, read_edit)


@router.post("/variations", **openapi.VARIATIONS)
async def vary(request: Request, caller: Caller) -> Response:
    """Variations of an image, for models whose catalog entry allows it; none does by default."""
    return await _buy(request, caller, read_variation)


# What a route depends on costs as much as what it does: the key is asked for, and the rest is taken from the application.
async def _buy(request: Request, caller: Grant, read: Read) -> Response:
    gateway, wanted = await wired(request), await read(request, await body_caps(request))
    retry, later = Retry.of(request.headers), _prefers_later(request)
    request_id = request.scope["state"]["request_id"]

    async def left() -> bool:
        return has_left(request.receive)

    try:
        purchase = await gateway.buyer.buy(request_id, caller, wanted, retry, left, collected=later)
    except ClientGone as exc:
        raise ClientDisconnect from exc
    if later:
        return await accepted(request, gateway, purchase)
    if not wanted.stream:
        return ResultResponse(purchase, await purchase.bought(), gateway.settings.currency)
    events = purchase.events()
    return EventResponse(purchase, await anext(events), events)


def _prefers_later(request: Request) -> bool:
    """`Prefer: respond-async`, RFC 7240: the answer is collected later, whatever proxies think of long calls."""
    wishes = ",".join(request.headers.getlist("prefer"))
    return any(wish.strip().lower() == "respond-async" for wish in wishes.split(","))
