"""Image endpoints: each reads the request, passes it to `ImageService` and sends the answer."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import openapi
from app.api.answers import response_to
from app.api.body import BodyCaps, read_edit, read_generation, read_variation
from app.api.collection import accepted
from app.api.connection import ClientConnection
from app.api.deps import Caller, body_caps, open_bodies, wired
from app.api.open_bodies import USED_UP_S
from app.core.grants import Grant
from app.core.request import ImageRequest, Operation
from app.core.retry import RepeatHeaders
from app.errors import GatewayError, InsufficientQuota, InvalidValue, RateLimited

ReadBody = Callable[[Request, BodyCaps], Awaitable[ImageRequest]]

router = APIRouter(prefix="/images", tags=["Images"])


@router.post("/generations", **openapi.GENERATIONS)
async def generate(request: Request, caller: Caller) -> Response:
    """Create images from a prompt. Fields that this gateway does not know go to the relay unchanged."""
    return await _buy(request, caller, "generation", read_generation)


@router.post("/edits", **openapi.EDITS)
async def edit(request: Request, caller: Caller) -> Response:
    """Edit one or more images by a prompt: a multipart form, or JSON with data URLs."""
    return await _buy(request, caller, "edit", read_edit)


@router.post("/variations", **openapi.VARIATIONS)
async def vary(request: Request, caller: Caller) -> Response:
    """Create variations of an image, for models whose catalog entry allows it; none does by default."""
    return await _buy(request, caller, "variation", read_variation)


async def _buy(request: Request, caller: Grant, operation: Operation, read_body: ReadBody) -> Response:
    gateway = wired(request)
    try:
        retry = _retry(request)
        image_request = await _read(request, caller, read_body)
    except GatewayError as exc:
        gateway.image_service.note_refusal(request.state.request_id, caller, exc, operation)
        raise
    connection, deferred = ClientConnection(request), _prefers_async(request)
    try:
        pending = await gateway.image_service.submit(
            request.state.request_id, caller, image_request, retry, connection.has_closed, deferred=deferred
        )
    except (InsufficientQuota, RateLimited) as exc:
        if exc.type != "in_flight":
            open_bodies(request).note_used_up(caller.key_id, exc.retry_after_s or USED_UP_S)
        raise
    deferred = deferred and not pending.served_duplicate  # Its answer is there already.
    return await (accepted(gateway, pending) if deferred else response_to(pending, connection, gateway, request))


async def _read(request: Request, caller: Grant, read_body: ReadBody) -> ImageRequest:
    """Read the body as one of the open bodies of the key. What reading needs is freed here, before the wait for the relay."""
    with open_bodies(request).reading(request, caller.key_id) as counted:
        return await read_body(counted, body_caps(request))


def _retry(request: Request) -> RepeatHeaders:
    """Read the retry headers. Raises InvalidValue, also for two different Idempotency-Keys, of which only one could hold."""
    if len(set(request.headers.getlist("idempotency-key"))) > 1:
        raise InvalidValue(
            "Idempotency-Key came more than once with different values; send one.", param="Idempotency-Key"
        )
    return RepeatHeaders.from_headers(request.headers)


def _prefers_async(request: Request) -> bool:
    """Return whether the client sent `Prefer: respond-async` (RFC 7240): it fetches the answer later, so that no proxy cuts a long
    call."""
    preferences = request.headers.getlist("prefer")
    return any(part.strip().lower() == "respond-async" for line in preferences for part in line.split(","))
