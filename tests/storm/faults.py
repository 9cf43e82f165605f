"""Faults of the storm's relay: all that a relay, its proxies and the network are known for.

Each has a weight in the draw and knows whether the relay charges for it: all do, but for the answers that are documented as
never charged.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.storm.pictures import BIG_BYTES, DEAD_URL, PATH, SIZES_BYTES, draw, url
from tests.storm.wire import Wire

HANG_S = 3.2
"""Longer than the gateways of the storm wait for an answer."""
PAUSE_S = 0.03


Play = Callable[[Wire], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`play` has the relay answer, or not. The charge is on file before it is called."""

    weight: int
    charges: bool
    play: Play


# --- pictures -------------------------------------------------------------------------------------------------------


def pictures(wire: Wire, count: int, size_bytes: int | None = None) -> dict[str, Any]:
    """A whole answer of the relay, in one of its dialects."""
    size = size_bytes or wire.random.choice(SIZES_BYTES)
    items = [{"b64_json": draw(wire.asked, number, size, wire.random)} for number in range(count)]
    document: dict[str, Any] = {"data": items}
    if wire.random.random() < 0.7:
        document |= {"created": 1_795_000_000, "size": "1024x1024", "output_format": "png"}
    return document


async def good(wire: Wire, *, size_bytes: int | None = None, delay_s: float = 0.0) -> None:
    await asyncio.sleep(delay_s * wire.random.random())
    if wire.asked.stream and wire.random.random() < 0.8:
        return await streamed(wire, size_bytes=size_bytes)
    return await wire.answer_json(pictures(wire, wire.asked.n, size_bytes))


async def by_url(wire: Wire, *, is_dead: bool = False) -> None:
    start = DEAD_URL if is_dead else f"http://127.0.0.1:{wire.port}{PATH}"
    await wire.answer_json({"created": 1, "data": [{"url": url(wire.asked, n, start)} for n in range(wire.asked.n)]})


async def short(wire: Wire) -> None:
    await wire.answer_json(pictures(wire, max(1, wire.asked.n - 1)))


async def bad_payload(wire: Wire) -> None:
    junk = wire.random.choice(["bm90IGFuIGltYWdl", "%%%%", "iVBORw0K", "PCFET0NUWVBFIGh0bWw+"])
    await wire.answer_json({"created": 1, "data": [{"b64_json": junk}] * wire.asked.n})


# --- streams --------------------------------------------------------------------------------------------------------


def _event(wire: Wire, kind: str, number: int, size_bytes: int) -> bytes:
    name = f"image_{wire.asked.operation if wire.asked.operation == 'edit' else 'generation'}.{kind}"
    document: dict[str, Any] = {"type": name, "b64_json": draw(wire.asked, number, size_bytes, wire.random)}
    document |= {"created_at": 1_795_000_000, "size": "1024x1024", "quality": "high", "output_format": "png"}
    if kind == "partial_image":
        document["partial_image_index"] = 0
    return f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()


async def streamed(wire: Wire, *, size_bytes: int | None = None, completed: int | None = None) -> None:
    """Events, a comment between them; with `completed` it is cut after so many pictures."""
    size = size_bytes or wire.random.choice(SIZES_BYTES)
    await wire.send(wire.head("200 OK", "text/event-stream", "Transfer-Encoding: chunked\r\n"))
    for number in range(wire.asked.n):
        await _chunk(wire, _event(wire, "partial_image", number, 100) + b": PING\n\n")
        await asyncio.sleep(PAUSE_S)
        if completed is not None and number >= completed:
            return wire.reset()
        await _chunk(wire, _event(wire, "completed", number, size))
    return await _chunk(wire, b"data: [DONE]\n\n", last=True)


async def _chunk(wire: Wire, data: bytes, *, last: bool = False) -> None:
    await wire.send(b"%x\r\n%s\r\n" % (len(data), data) + (b"0\r\n\r\n" if last else b""))


async def cut_stream(wire: Wire) -> None:
    if not wire.asked.stream:
        return await cut_body(wire)
    return await streamed(wire, completed=wire.random.randrange(wire.asked.n))


async def error_in_stream(wire: Wire) -> None:
    if not wire.asked.stream:
        return await error_object(wire)
    body = b'data: {"type":"error","error":{"message":"the provider gave up","code":"server_error"}}\n\n'
    return await wire.answer("200 OK", body, "text/event-stream")


# --- broken connections, slow ones ----------------------------------------------------------------------------------


async def reset_before_headers(wire: Wire) -> None:
    wire.reset()


async def cut_body(wire: Wire) -> None:
    """Cut the body at byte k, by a reset or by a clean end that comes too early."""
    whole = json.dumps(pictures(wire, wire.asked.n)).encode()
    at = wire.random.randrange(len(whole))
    await wire.send(wire.head("200 OK", "application/json", f"Content-Length: {len(whole)}\r\n") + whole[:at])
    await asyncio.sleep(PAUSE_S)
    if wire.random.random() < 0.5:
        wire.reset()
    else:
        wire.writer.close()


async def drip(wire: Wire) -> None:
    whole = json.dumps(pictures(wire, wire.asked.n, 200)).encode()
    await wire.send(wire.head("200 OK", "application/json", f"Content-Length: {len(whole)}\r\n"))
    for at in range(0, len(whole), step := len(whole) // 8 + 1):
        await wire.send(whole[at : at + step])
        await asyncio.sleep(2 * PAUSE_S)


async def header_drip(wire: Wire) -> None:
    body = json.dumps(pictures(wire, wire.asked.n, 200)).encode()
    start = wire.head("200 OK", "application/json", f"Content-Length: {len(body)}\r\n")
    for at in range(0, len(start), 12):
        await wire.send(start[at : at + 12])
        await asyncio.sleep(PAUSE_S)
    await wire.send(body)


async def hang(wire: Wire) -> None:
    await asyncio.sleep(HANG_S)
    wire.writer.close()


async def close_unannounced(wire: Wire) -> None:
    """A good answer, and the connection closes under the feet of whoever keeps it."""
    await good(wire)
    await asyncio.sleep(PAUSE_S * wire.random.random())
    wire.writer.close()


async def page(wire: Wire, *, status: str) -> None:
    await wire.answer(status, b"<!DOCTYPE html><html><body>relay console</body></html>", "text/html; charset=utf-8")


async def invalid_json(wire: Wire) -> None:
    whole = json.dumps(pictures(wire, wire.asked.n)).encode()
    await wire.answer("200 OK", whole[: wire.random.randrange(len(whole))])


async def error_object(wire: Wire) -> None:
    await wire.answer_json(
        {"error": {"message": "channel error", "type": "new_api_error", "code": "do_request_failed"}}
    )


async def empty_data(wire: Wire) -> None:
    await wire.answer_json({"created": 1, "data": wire.random.choice([[], None, [{}], [{"b64_json": ""}]])})


async def big_headers(wire: Wire) -> None:
    await wire.answer_json(pictures(wire, wire.asked.n), headers=f"X-Trace: {'a' * 200_000}\r\n")


async def zipped(wire: Wire) -> None:
    await wire.answer_json(pictures(wire, wire.asked.n), headers="Content-Encoding: gzip\r\n")


async def redirect(wire: Wire, *, status: str) -> None:
    """Redirect to this relay, so that a client that follows is seen and charged again."""
    location = f"Location: http://127.0.0.1:{wire.port}/v1/images/generations\r\n"
    await wire.answer(status, b"", "text/plain", location)


# --- refusals -------------------------------------------------------------------------------------------------------


async def refusal(
    wire: Wire, *, status: str, code: str = "", type_: str = "new_api_error", message: str = "no"
) -> None:
    error = {"message": f"{message} (request id: 20261121{wire.random.randrange(10**17)})", "type": type_, "param": ""}
    await wire.answer_json({"error": error | {"code": code}}, status)


async def busy(wire: Wire) -> None:
    told = wire.random.choice(["", "1", "0.2", "Sat, 21 Nov 2026 20:00:00 GMT", "86400", "soon"])
    body = wire.random.choice([b"", b'{"error":{"message":"busy","type":"new_api_error","param":"","code":""}}'])
    await wire.answer("429 Too Many Requests", body, headers=f"Retry-After: {told}\r\n" if told else "")


FAULTS: dict[str, Fault] = {
    "good": Fault(34, True, good),
    "good_soon": Fault(14, True, partial(good, delay_s=0.6)),
    "good_big": Fault(3, True, partial(good, size_bytes=BIG_BYTES)),
    "by_url": Fault(16, True, by_url),
    "by_dead_url": Fault(2, True, partial(by_url, is_dead=True)),
    "short": Fault(4, True, short),
    "bad_payload": Fault(2, True, bad_payload),
    "cut_stream": Fault(4, True, cut_stream),
    "error_in_stream": Fault(2, True, error_in_stream),
    "reset_before_headers": Fault(3, True, reset_before_headers),
    "cut_body": Fault(3, True, cut_body),
    "drip": Fault(3, True, drip),
    "header_drip": Fault(2, True, header_drip),
    "hang": Fault(1, True, hang),
    "close_unannounced": Fault(3, True, close_unannounced),
    "page_200": Fault(1, True, partial(page, status="200 OK")),
    "page_500": Fault(1, True, partial(page, status="500 Internal Server Error")),
    "page_502": Fault(2, True, partial(page, status="502 Bad Gateway")),
    "page_524": Fault(1, True, partial(page, status="524 A Timeout Occurred")),
    "invalid_json": Fault(2, True, invalid_json),
    "error_object": Fault(1, True, error_object),
    "empty_data": Fault(1, True, empty_data),
    "big_headers": Fault(1, True, big_headers),
    "zipped": Fault(1, True, zipped),
    "redirect": Fault(1, True, partial(redirect, status="303 See Other")),
    "moved": Fault(1, False, partial(redirect, status="307 Temporary Redirect")),
    "page_413": Fault(1, False, partial(page, status="413 Request Entity Too Large")),
    "failed_500": Fault(2, True, partial(refusal, status="500 Internal Server Error", code="do_request_failed")),
    "busy": Fault(6, False, busy),
    "wallet_empty": Fault(
        1, False, partial(refusal, status="403 Forbidden", code="insufficient_user_quota", message="用户额度不足")
    ),
    "key_exhausted": Fault(1, False, partial(refusal, status="401 Unauthorized", message="该令牌额度已用尽")),
    "key_wrong": Fault(1, False, partial(refusal, status="401 Unauthorized", message="无效的令牌")),
    "key_forbidden": Fault(1, False, partial(refusal, status="403 Forbidden", message="该令牌无权访问模型")),
    "moderated": Fault(
        2,
        False,
        partial(
            refusal,
            status="400 Bad Request",
            code="moderation_blocked",
            type_="image_generation_user_error",
            message="safety",
        ),
    ),
    "checked_500": Fault(
        2, False, partial(refusal, status="500 Internal Server Error", code="sensitive_words_detected")
    ),
    "converted_500": Fault(
        1, False, partial(refusal, status="500 Internal Server Error", code="convert_request_failed")
    ),
    "no_price": Fault(1, False, partial(refusal, status="500 Internal Server Error", code="model_price_error")),
    "no_channel": Fault(
        2, False, partial(refusal, status="503 Service Unavailable", message="当前分组 default 下对于模型 X 无可用渠道")
    ),
}
