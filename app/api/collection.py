"""Endpoints for the requests of an API key: their state, and their stored answers."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.api import openapi
from app.api.answers import common_headers, response_to
from app.api.connection import ClientConnection
from app.api.deps import Caller, Wired
from app.api.paths import V1
from app.api.schemas.images import ImageRequestOut
from app.errors import GatewayError
from app.images.pending import PendingAnswer
from app.store.requests import StoredRequest
from app.wiring import Gateway

RETRY_AFTER_S = 5
router = APIRouter(prefix="/images/requests", tags=["Images"])


@router.get("/{request_id}", response_model=ImageRequestOut)
async def retrieve_request(request_id: str, caller: Caller, gateway: Wired) -> JSONResponse:
    """Return state, cost and times of a request of this API key; 404 for any other."""
    return _state_response(gateway, await gateway.image_service.replay.find_for_key(caller, request_id))


@router.get("/{request_id}/result", **openapi.REQUEST_RESULT)
async def retrieve_result(request: Request, request_id: str, caller: Caller, gateway: Wired) -> Response:
    """Return the answer of a request of this API key, as it was or would have been sent; 202 while there is none yet."""
    original = await gateway.image_service.replay.find_for_key(caller, request_id)
    if not original.ended:
        return _state_response(gateway, original, status=202, path=request.url.path.removesuffix("/result"))
    return await response_to(
        gateway.image_service.collect(original, caller.user_id), ClientConnection(request), gateway, request
    )


async def accepted(gateway: Gateway, pending: PendingAnswer) -> Response:
    """Answer 202 once the request has been sent. Raises the GatewayError it ended with before that."""
    await pending.wait_until_sent()
    if pending.queue is not None:
        pending.queue.leave()
    document: dict[str, Any] = {"id": pending.request_id, "object": "image.request", "state": "dispatched"}
    # The request has been sent, so the client must not get an error of the store, which invites a retry.
    with suppress(GatewayError):
        original = await gateway.image_service.replay.originals.find(pending.request_id)
        document = ImageRequestOut.of(original, gateway.currency).model_dump() if original is not None else document
    headers = common_headers(pending) | _polling_headers(f"{V1}{router.prefix}/{pending.request_id}")
    return JSONResponse(document, 202, headers)


def _state_response(
    gateway: Gateway, original: StoredRequest, *, status: int = 200, path: str | None = None
) -> JSONResponse:
    """Make the response with the current state; `path` is the URL to poll for a request that still runs."""
    headers = {"cache-control": "no-store"} if path is None else _polling_headers(path)
    return JSONResponse(ImageRequestOut.of(original, gateway.currency).model_dump(), status, headers)


def _polling_headers(path: str) -> dict[str, str]:
    return {"cache-control": "no-store", "location": path, "retry-after": str(RETRY_AFTER_S)}
