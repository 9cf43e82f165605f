"""Clients of the storm: they try again as OpenAI's SDKs do, give up early, or hang up in the middle."""

import asyncio
import hashlib
import json
import random
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.storm.pictures import Seen, recognise
from tests.storm.plan import Call

PAUSE_S = 0.1
PAUSE_S_MAX = 0.4
REACH_S = 2.0
RETRIED = (408, 409, 429)
SIGNED = re.compile(rb"expires=[0-9]+&signature=[0-9a-f]+")
"""What differs between two answers with the same link."""
PATHS = {"generation": "/v1/images/generations", "edit": "/v1/images/edits"}


@dataclass
class Try:
    """One POST and what came of it. `status` 0: no answer; then `error` says why. Pictures are what they say of themselves."""

    count: int
    gateway: str
    at: float
    status: int = 0
    request_id: str = ""
    error: str = ""
    code: str | None = None
    sha256: str = ""
    replayed: bool = False
    served: bool = False
    """True for pictures that were bought before, by another call."""
    cost: str | None = None
    whole: bool = False
    pictures: list[Seen] = field(default_factory=list)
    seconds: float = 0.0
    should_retry: str | None = None
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """`gateways` gives the base URLs there are, like a load balancer that does not know who is dead."""

    session: aiohttp.ClientSession
    gateways: Callable[[], list[str]]
    keys: list[str]

    async def make(self, call: Call, tries: list[Try]) -> None:
        """All tries of a call, until it has an answer that is final for an SDK; each is put into `tries` as it begins."""
        chance = random.Random(f"{call.marker}/{call.name}/client")
        for count in range(call.retries + 1):
            tries.append(one := Try(count, chance.choice(self.gateways()), time.time()))
            await self._limited(call, one)
            one.seconds = time.time() - one.at
            if not wants_another(one) or one.error == "left":
                break
            await asyncio.sleep(_pause_s(one, chance))

    async def _limited(self, call: Call, one: Try) -> None:
        limit_s = call.timeout_s if call.leaves_s is None else call.leaves_s
        try:
            async with asyncio.timeout(limit_s):
                await self._reach(call, one)
        except TimeoutError:
            one.error = "left" if call.leaves_s is not None else f"timeout after {limit_s:.2f} s"
        except (aiohttp.ClientError, OSError) as exc:
            one.error = f"{type(exc).__name__}: {exc}"[:200]
        except ValueError as exc:
            one.error = f"unreadable: {exc}"[:200]

    async def _reach(self, call: Call, one: Try) -> None:
        """Connect; if nobody listens, take another gateway, as a load balancer does."""
        until = time.time() + REACH_S
        while True:
            try:
                return await self._post(call, one)
            except aiohttp.ClientConnectorError:
                if time.time() > until:
                    raise
            await asyncio.sleep(PAUSE_S / 2)
            urls = self.gateways()
            one.gateway = urls[(urls.index(one.gateway) + 1) % len(urls)]

    async def _post(self, call: Call, one: Try) -> None:
        headers = {"Authorization": f"Bearer {self.keys[call.key]}", "x-stainless-retry-count": str(one.count)}
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        if call.serves:
            headers["x-imagegate-duplicate"] = "serve"
        url = one.gateway + PATHS[call.operation]
        async with self.session.post(url, headers=headers, **_body(call)) as answer:
            one.status, one.request_id = answer.status, answer.headers.get("x-request-id", "")
            one.replayed = answer.headers.get("idempotent-replayed") == "true"
            one.served = answer.headers.get("x-imagegate-duplicate") == "served"
            one.cost = answer.headers.get("x-imagegate-cost")
            one.should_retry, one.retry_after = (
                answer.headers.get("x-should-retry"),
                answer.headers.get("retry-after"),
            )
            body = await answer.read()
        one.sha256 = hashlib.sha256(SIGNED.sub(b"", body)).hexdigest()
        _take_in(one, body, streamed="event-stream" in answer.headers.get("content-type", ""))
        one.whole = True


def wants_another(one: Try) -> bool:
    """Decide as an SDK does if it POSTs again: on 408, 409, 429, 5xx, a reset and a timeout, unless told not to."""
    if one.status and (one.whole or one.status != 200):
        return one.should_retry != "false" and (one.status in RETRIED or one.status >= 500)
    return not one.status or one.error != ""


def _take_in(one: Try, body: bytes, *, streamed: bool) -> None:
    if streamed:
        return _take_in_events(one, body)
    document = json.loads(body)
    if one.status == 200:
        one.pictures = [recognise(item) for item in document["data"]]
        if not one.pictures:
            raise ValueError("a 200 without a picture")
    else:
        one.code = document["error"]["code"]
    return None


def _take_in_events(one: Try, body: bytes) -> None:
    done = 0
    for line in body.split(b"\n"):
        if not line.startswith(b"data: ") or line == b"data: [DONE]":
            continue
        document: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        if error := document.get("error"):
            one.code = error.get("code")
            return
        one.pictures.append(recognise(document))
        done += document["type"].endswith(".completed")
    if not done:
        raise ValueError("a stream that ended well without a completed event")


def _body(call: Call) -> dict[str, Any]:
    fields: dict[str, Any] = {"model": call.model, "prompt": f"a cat in a {call.marker} of roses", "n": call.n}
    response_format = random.Random(f"{call.marker}/form").choice([None, None, "url", "b64_json"])
    fields |= {} if response_format is None else {"response_format": response_format}
    if call.operation == "generation":
        return {"json": fields | ({"stream": True} if call.stream else {})}
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, str(value))
    if call.stream:
        form.add_field("stream", "true")
    form.add_field("image", _upload(call), filename="cat.png", content_type="image/png")
    return {"data": form}


def _upload(call: Call) -> bytes:
    """A picture as far as its header: nobody decodes it. The same for every try of a call."""
    header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack("!IIBBBBB", 64, 64, 8, 2, 0, 0, 0) + b"\0\0\0\0"
    return header + random.Random(call.marker).randbytes(call.picture_bytes)


def _pause_s(one: Try, chance: random.Random) -> float:
    told = float(one.retry_after) if one.retry_after and one.retry_after.isdigit() else PAUSE_S * 2**one.count
    return min(told, PAUSE_S_MAX) * chance.uniform(0.5, 1)
