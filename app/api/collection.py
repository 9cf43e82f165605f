"""Requests of an API key that run or have ended: their state, and their answers to be collected."""

from contextlib import suppress
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.api import openapi
from app.api.answers import common_headers, response_to
from app.api.connection import ClientConnection
from app.api.deps import Caller, Wired
from app.api.middleware import V1
from app.core.money import decimal_text
from app.errors import GatewayError
from app.images.pending import PendingAnswer
from app.store.requests import StoredRequest
from app.wiring import Gateway

RETRY_AFTER_S = 5
OBJECT = "image.request"
router = APIRouter(prefix="/images/requests", tags=["Images"])


@router.get("/{request_id}", **openapi.REQUEST)
async def retrieve_request(request_id: str, caller: Caller, gateway: Wired) -> JSONResponse:
    """State, cost and times of a request of this API key; 404 for any other."""
    return _shown(gateway, await gateway.image_service.replay.of_owner(caller, request_id))


@router.get("/{request_id}/result", **openapi.REQUEST_RESULT)
async def retrieve_result(request: Request, request_id: str, caller: Caller, gateway: Wired) -> Response:
    """The answer of a request of this API key, as it was or would have been sent: 202 while there is none yet."""
    original = await gateway.image_service.replay.of_owner(caller, request_id)
    if not original.ended:
        return _shown(gateway, original, status=202, path=request.url.path.removesuffix("/result"))
    return await response_to(gateway.image_service.collect(original), ClientConnection(request), gateway.currency)


async def accepted(gateway: Gateway, pending: PendingAnswer) -> Response:
    """202 once the request has been sent; raises what it ended with before that."""
    await pending.wait_until_sent()
    if pending.queue is not None:
        pending.queue.leave()
    document: dict[str, Any] = {"id": pending.request_id, "object": OBJECT, "state": "dispatched"}
    with suppress(GatewayError):  # It has been sent: from here on no error may sound as if it had not.
        original = await gateway.image_service.replay.originals.find(pending.request_id)
        document = _document(original, gateway.currency) if original is not None else document
    headers = common_headers(pending) | _later(f"{V1}{router.prefix}/{pending.request_id}")
    return JSONResponse(document, 202, headers)


def _shown(gateway: Gateway, original: StoredRequest, *, status: int = 200, path: str | None = None) -> JSONResponse:
    """`path`: where to ask again."""
    headers = {"cache-control": "no-store"} if path is None else _later(path)
    return JSONResponse(_document(original, gateway.currency), status, headers)


def _later(path: str) -> dict[str, str]:
    return {"cache-control": "no-store", "location": path, "retry-after": str(RETRY_AFTER_S)}


def _document(original: StoredRequest, currency: str) -> dict[str, Any]:
    """Times in seconds since the epoch, as OpenAI's; money as a plain decimal."""
    cost = None if original.cost_micros is None else decimal_text(original.cost_micros)
    error = original.error and {name: original.error[name] for name in ("message", "type", "param", "code")}
    return {
        "id": original.id,
        "object": OBJECT,
        "state": original.state,
        "operation": original.operation,
        "model": original.model,
        "n": original.n,
        "images": original.images,
        "cost": cost,
        "currency": currency,
        "created_at": _seconds(original.reserved_at_ms),
        "dispatched_at": _seconds(original.dispatched_at_ms),
        "ended_at": _seconds(original.ended_at_ms),
        "error": error,
    }


def _seconds(at_ms: int | None) -> int | None:
    return None if at_ms is None else at_ms // 1000
