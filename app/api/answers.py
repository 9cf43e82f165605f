"""Sending what was bought: whole, or event by event, with what it cost and what is left."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.core.limits import Unit
from app.core.money import decimal_text
from app.errors import GatewayError, InternalError
from app.images.booking import BookedAnswer
from app.images.crash import crash_point
from app.images.pending import PendingAnswer
from app.images.refusals import rate_headers
from app.spool import segments_bytes
from app.wiring import Gateway

log = structlog.get_logger()


class _SelfSending(Response):
    """FastAPI sends whatever is a Response; these send themselves, without a body in memory."""

    background = None

    def __init__(self) -> None:  # Not Response's own, which would render a body.
        pass


class ResultResponse(_SelfSending):
    """A stored answer, sent piece by piece from its spool, which is closed at the end."""

    def __init__(self, pending: PendingAnswer, bought: BookedAnswer, gateway: Gateway):
        self._bought = bought
        self._purchase = pending
        self._pieces = gateway.pieces
        self._sent_headers = common_headers(pending) | cost_headers(bought, gateway.settings.currency)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        segments, spool = self._bought.segments, self._bought.spool
        unsent, chunks = segments_bytes(segments), self._pieces.chunks(segments, spool)
        headers = self._sent_headers | {"content-type": "application/json", "content-length": str(unsent)}
        try:
            crash_point("before_first_byte")
            await send(_start(headers))
            for chunk in chunks:
                unsent -= len(chunk)
                if unsent == 0:
                    _note_delivery(self._purchase, scope)
                await send(_piece(chunk, more=unsent > 0))
        finally:
            chunks.close()
            spool.close()


class EventResponse(_SelfSending):
    """A stream of events. Its first event is there before the first byte is sent, so that a refusal still has a status."""

    def __init__(self, pending: PendingAnswer, first: bytes, events: AsyncGenerator[bytes]):
        self._first = first
        self._events = events
        self._purchase = pending
        self._sent_headers = common_headers(pending)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        headers = self._sent_headers | {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
        }
        await send(_start(headers))
        await send(_piece(self._first))
        try:
            async with aclosing(self._events) as events:
                async for frame in events:
                    await send(_piece(frame))
            _note_delivery(self._purchase, scope)
        except GatewayError as exc:
            await send(_piece(error_frame(exc)))
        except Exception as exc:
            log.error("a stream failed", exc_info=exc)
            await send(_piece(error_frame(InternalError("The gateway failed; tell its administrator the request id."))))
        await send(_piece(b"", more=False))


def common_headers(pending: PendingAnswer) -> dict[str, str]:
    """The rates; of a replay also that it is one, and of which request."""
    original = {"idempotent-replayed": "true", "x-imagegate-request-id": pending.request_id}
    return rate_headers(pending.rates) | (original if pending.replayed else {})


def _note_delivery(pending: PendingAnswer, scope: Scope) -> None:
    """Before the last byte: afterwards the server may have closed the connection itself."""
    if not has_left(scope):
        pending.note_delivery()


def has_left(scope: Scope) -> bool:
    """Whether the client of a request whose body was read has hung up by now: our server puts it there. Starlette's
    `is_disconnected` asks the long way round."""
    left: bool = scope["state"]["has_left"]()
    return left


def error_frame(exc: GatewayError) -> bytes:
    """An error after the stream has begun: the SDKs raise it as APIError, and never try again."""
    return b"event: error\ndata: " + json.dumps(exc.body()).encode() + b"\n\n"


def cost_headers(bought: BookedAnswer, currency: str) -> dict[str, str]:
    """`x-imagegate-*`: plain decimals. What is left is of the tightest limit, and absent where there is none."""
    headers = {"x-imagegate-cost": decimal_text(bought.cost_micros), "x-imagegate-currency": currency}
    spend, images = _left(bought, "micros"), _left(bought, "images")
    if spend is not None:
        headers["x-imagegate-spend-remaining"] = decimal_text(spend)
    if images is not None:
        headers["x-imagegate-images-remaining"] = str(images)
    return headers


def _left(bought: BookedAnswer, unit: Unit) -> int | None:
    return min((room.left for room in bought.rooms or () if room.unit == unit), default=None)


def _start(headers: dict[str, str]) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": 200, "headers": raw}


def _piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
