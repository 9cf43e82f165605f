"""Responses that send an answer, as one body or as events, with headers for its cost and the remaining limits."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.connection import ClientConnection
from app.api.deps import forms
from app.api.picture_urls import public_url
from app.core.limits import Unit
from app.core.money import decimal_text
from app.core.request import ResponseFormat
from app.core.retry import DUPLICATE
from app.errors import GatewayError, InternalError
from app.images.booking import BookedAnswer
from app.images.crash import crash_point
from app.images.pending import PendingAnswer
from app.images.refusals import rate_headers
from app.spool import CHUNK_BYTES, segments_bytes, segments_chunks
from app.wiring import Gateway

log = structlog.get_logger()


async def response_to(
    pending: PendingAnswer, connection: ClientConnection, gateway: Gateway, request: Request
) -> Response:
    """Wait until an answer is booked, or its first event is there, and make the response that sends it. Raises GatewayError."""
    if pending.queue is None:
        answer = await pending.result()
        with gateway.image_service.places.converting():
            answer = await forms(request).as_asked(answer, pending.request_id, public_url(request))
        return ResultResponse(pending, answer, connection, gateway.currency)

    async def convert(answer: BookedAnswer) -> BookedAnswer:
        with gateway.image_service.places.converting():
            return await forms(request).as_events(answer, pending.request_id)

    events = pending.events(convert)
    return EventResponse(pending, await anext(events), events, connection)


class _SelfSending(Response):
    """Response without a body in memory; it sends itself piece by piece."""

    background = None

    def __init__(self) -> None:  # Response.__init__ would render a body.
        pass


class ResultResponse(_SelfSending):
    """Response with a stored answer, sent from its spool, which it closes at the end."""

    def __init__(self, pending: PendingAnswer, answer: BookedAnswer, connection: ClientConnection, currency: str):
        self._answer = answer
        self._pending = pending
        self._connection = connection
        self._response_headers = common_headers(pending) | cost_headers(answer, currency) | format_header(answer)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        segments, spool = self._answer.segments, self._answer.spool
        unsent = segments_bytes(segments)
        headers = self._response_headers | {"content-type": "application/json", "content-length": str(unsent)}
        try:
            crash_point("before_first_byte")
            await send(_start(headers))
            for chunk in segments_chunks(segments, spool):
                if self._connection.is_closed:
                    break
                unsent -= len(chunk)
                # Before the last piece is sent: afterwards `is_closed` is also true when the server has closed the connection.
                if unsent == 0:
                    self._pending.note_delivery()
                await send(_piece(chunk, more=unsent > 0))
                await _yield_after(chunk)
        finally:
            spool.close()


class EventResponse(_SelfSending):
    """Response with a stream of events. It starts once the first event is there, so that a refusal still has its own status."""

    def __init__(
        self, pending: PendingAnswer, first: bytes, events: AsyncGenerator[bytes], connection: ClientConnection
    ):
        self._first = first
        self._events = events
        self._pending = pending
        self._connection = connection
        self._response_headers = common_headers(pending)

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        headers = self._response_headers | {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
        }
        await send(_start(headers))
        await send(_piece(self._first))
        try:
            await self._send_events(send)
        except GatewayError as exc:
            await send(_piece(error_frame(exc)))
        except Exception as exc:
            log.error("a stream failed", exc_info=exc)
            await send(_piece(error_frame(InternalError("The gateway failed; tell its administrator the request id."))))
        await send(_piece(b"", more=False))

    async def _send_events(self, send: Send) -> None:
        async with aclosing(self._events) as events:
            async for frame in events:
                if self._connection.is_closed:
                    return
                await send(_piece(frame))
                await _yield_after(frame)
        if not self._connection.is_closed:
            self._pending.note_delivery()


async def _yield_after(sent: bytes) -> None:
    """Yield to the event loop after a large piece, because `send` waits only for a slow client."""
    if len(sent) >= CHUNK_BYTES:
        await asyncio.sleep(0)


def common_headers(pending: PendingAnswer) -> dict[str, str]:
    """Make the rate headers; for an alias also the model it stands for, for a replay `idempotent-replayed` and the id of the
    original request, and for a duplicate the picture that was bought before."""
    headers = rate_headers(pending.rates)
    if pending.aliased_model is not None:
        headers["x-imagegate-model"] = pending.aliased_model
    if pending.duplicate_of is not None:
        headers["x-imagegate-duplicate-of"] = pending.duplicate_of
    if pending.replayed:
        kind = DUPLICATE if pending.served_duplicate else "idempotent-replayed"
        value = "served" if pending.served_duplicate else "true"
        headers |= {kind: value, "x-imagegate-request-id": pending.request_id}
    return headers


def error_frame(exc: GatewayError) -> bytes:
    """Make the event for an error after the stream has begun. The SDKs raise APIError for it and do not retry."""
    return b"event: error\ndata: " + json.dumps(exc.body()).encode() + b"\n\n"


def cost_headers(answer: BookedAnswer, currency: str) -> dict[str, str]:
    """Make the headers `x-imagegate-*`, as plain decimals. `*-remaining` is of the tightest limit, absent without a limit."""
    headers = {"x-imagegate-cost": decimal_text(answer.cost_micros), "x-imagegate-currency": currency}
    spend, images = _remaining(answer, "micros"), _remaining(answer, "images")
    if spend is not None:
        headers["x-imagegate-spend-remaining"] = decimal_text(spend)
    if images is not None:
        headers["x-imagegate-images-remaining"] = str(images)
    return headers


def format_header(answer: BookedAnswer) -> dict[str, str]:
    """Make the header that names the forms of the pictures where they are not all in the one that the client is to get."""
    items = [] if answer.images is None else answer.images.items
    sent: list[ResponseFormat] = sorted({"b64_json" if "b64_json" in item else "url" for item in items})
    is_other = bool(sent) and answer.response_format is not None and sent != [answer.response_format]
    return {"x-imagegate-response-format": ", ".join(sent)} if is_other else {}


def _remaining(answer: BookedAnswer, unit: Unit) -> int | None:
    return min((room.left for room in answer.rooms or () if room.unit == unit), default=None)


def _start(headers: dict[str, str]) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": raw}


def _piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
