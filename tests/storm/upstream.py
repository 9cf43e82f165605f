"""The relay of the storm, a process of its own: `python -m tests.storm.upstream --seed S --bill FILE`.

What happens to a request depends on the seed, on the marker in its prompt and on how often that marker has come before; on nothing
else. A charge is one line appended to the bill, with one write, before the first byte of the answer: the bill is the oracle.
On SIGUSR1 it does not listen for a moment. A line on stdin that names a mood of `tests.storm.moods` puts an end to chance, and
`whole log` to the limit of the log.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.storm.arrivals import marker_of, read_request
from tests.storm.faults import FAULTS, PAUSE_S
from tests.storm.moods import ANSWERED_AS_WELL, MOODS
from tests.storm.pictures import Asked, picture_at
from tests.storm.wire import Wire, head, reset

PRICES_MICROS = {"gpt-image-1": 1_000_000, "flux-kontext-pro": 200_000, "seedream-3.0": 80_000}
FACTOR_ONE = 1_000_000
MICROS_PER_DOLLAR = 1_000_000
POINTS_PER_DOLLAR = 500_000
_TOPPED_UP = {"created_at": 1_700_000_000, "type": 1, "quota": 0}
"""First row of each log, long before any request."""
_QUESTION = Asked("free-question", 1, "", "generation", "seedream-3.0", 1, stream=False)
LOG_ROWS_MAX = 1000
UNREAD_SHARE = 0.01
"""Of connections that are reset before anything was read from them."""
DEAF_S = 0.4


@dataclass
class Relay:
    """`bill` is where every arrival is written down, with what it was charged: 0 where it was not."""

    seed: str
    bill: int
    name: str = "default"
    price_factor: int = FACTOR_ONE
    micros_per_dollar: int = MICROS_PER_DOLLAR
    calm: bool = False
    port: int = 0
    connections: int = 0
    arrivals: Counter[str] = field(default_factory=Counter)
    log: list[dict[str, Any]] = field(default_factory=list)
    """Charges as the relay shows them to the owner of its key."""
    log_rows_max: int | None = LOG_ROWS_MAX
    mood: str | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        luck = random.Random(f"{self.seed}/connection/{self.connections}").random()
        if luck < UNREAD_SHARE and not self.calm and self.mood is None:
            return reset(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            while not writer.is_closing():
                await self._exchange(reader, writer)
        writer.close()
        return None

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start, body = await read_request(reader)
        if (got := re.match(rb"GET (/pictures/[^ ]+) ", start)) is not None:
            path = got[1].decode()
            self.arrivals[path] += 1
            chance = random.Random(f"{self.seed}/{path}/{self.arrivals[path]}")
            return await _serve_picture(path, chance, writer)
        if start.startswith(b"GET "):
            return await self._show(start, writer)
        asked = self._arrived(start, body)
        chance = random.Random(f"{self.seed}/{asked.marker}/{asked.arrival}")
        faults = FAULTS if self.mood is None else MOODS[self.mood]
        [name] = chance.choices(list(faults), [fault.weight for fault in faults.values()])
        if self.calm:
            name = "good"
        self._write_down(asked, name, charged=faults[name].charges)
        return await faults[name].play(Wire(asked, chance, writer, self.port, self._id(asked)))

    def hear(self, word: str) -> None:
        """Take an order: a mood, or `whole log`."""
        if word == "whole log":
            self.log_rows_max = None
        else:
            self.mood = word

    async def _show(self, start: bytes, writer: asyncio.StreamWriter) -> None:
        """Answer a free question: the models, the log of charges; 404 to any other."""
        document: dict[str, Any]
        if self.mood is not None and self.mood not in ANSWERED_AS_WELL:
            fault = next(iter(MOODS[self.mood].values()))
            return await fault.play(Wire(_QUESTION, random.Random(), writer, self.port))
        if start.startswith(b"GET /v1/models "):
            status, document = "200 OK", {"object": "list", "data": [{"id": name} for name in PRICES_MICROS]}
        elif start.startswith(b"GET /api/log/token "):
            status, document = "200 OK", {"success": True, "data": self._shown_log()}
        else:
            status, document = "404 Not Found", {"error": {"message": "no such page", "type": "new_api_error"}}
        body = json.dumps(document).encode()
        writer.write(head(status, "application/json", f"Content-Length: {len(body)}\r\n") + body)
        return await writer.drain()

    def _shown_log(self) -> list[dict[str, Any]]:
        """List the newest charges, newest first, and how it began where there is room for that."""
        return [*reversed(self.log), _TOPPED_UP][: self.log_rows_max]

    def _id(self, asked: Asked) -> str:
        return f"{self.name}-{asked.request_id.removeprefix('req_')}"

    def _arrived(self, head: bytes, body: bytes) -> Asked:
        headers = {name.lower(): value for name, value in re.findall(rb"(?m)^([\w-]+): *(.*?)\r?$", head)}
        marker = marker_of(body)
        self.arrivals[marker] += 1
        operation = "edit" if b"/images/edits" in head.split(b"\r\n", 1)[0] else "generation"
        facts = _facts(body, headers.get(b"content-type", b""))
        return Asked(
            marker=marker,
            arrival=self.arrivals[marker],
            request_id=headers.get(b"x-request-id", b"").decode(),
            operation=operation,
            model=str(facts.get("model")),
            n=int(facts.get("n") or 1),
            stream=str(facts.get("stream", "")).lower() == "true",
        )

    def _write_down(self, asked: Asked, fault: str, *, charged: bool) -> None:
        micros = -(-PRICES_MICROS[asked.model] * asked.n * self.price_factor // FACTOR_ONE) if charged else 0
        line = {
            "relay": self.name,
            "marker": asked.marker,
            "arrival": asked.arrival,
            "at": time.time(),
            "fault": fault,
            "micros": micros,
            "request_id": asked.request_id,
            "n": asked.n,
            "charged": charged,
        }
        os.write(self.bill, json.dumps(line).encode() + b"\n")
        if charged:
            points = micros * POINTS_PER_DOLLAR // self.micros_per_dollar
            row = {"created_at": int(time.time()), "type": 2, "model_name": asked.model, "quota": points}
            self.log.append(row | {"request_id": self._id(asked)})


async def _serve_picture(path: str, chance: random.Random, writer: asyncio.StreamWriter) -> None:
    """Answer a GET of a link, well or badly."""
    content, luck = picture_at(path), chance.random()
    if luck < 0.05:
        return reset(writer)
    status, body = ("404 Not Found", b"gone") if luck < 0.1 else ("200 OK", content)
    writer.write(head(status, "image/png", f"Content-Length: {len(body)}\r\n") + body[: len(body) // 2])
    await asyncio.sleep(PAUSE_S * 10 * chance.random())
    if luck < 0.15:
        return reset(writer)
    writer.write(body[len(body) // 2 :])
    return await writer.drain()


def _facts(body: bytes, content_type: bytes) -> dict[str, Any]:
    if b"json" in content_type:
        document = json.loads(body)
        assert isinstance(document, dict)
        return document
    fields = re.findall(rb'name="(model|n|stream)"\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]*)\r\n', body)
    return {name.decode(): value.decode() for name, value in fields}


def _read_orders(relay: Relay) -> None:
    """Read what the storm says; the end of the pipe is the end of the storm."""
    orders = os.read(sys.stdin.fileno(), 4096)
    if not orders:
        os._exit(0)
    for word in orders.decode().splitlines():
        relay.hear(word)


async def _run(given: argparse.Namespace) -> None:
    bill = os.open(given.bill, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    relay = Relay(given.seed, bill, given.name, given.price_factor, given.micros_per_dollar, given.calm)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", given.port, limit=1 << 20)
    relay.port = server.sockets[0].getsockname()[1]
    print(relay.port, flush=True)
    deaf, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, deaf.set)
    loop.add_reader(sys.stdin.fileno(), _read_orders, relay)
    while True:
        await deaf.wait()
        deaf.clear()
        server.close()
        await asyncio.sleep(DEAF_S)
        server = await asyncio.start_server(relay.serve, "127.0.0.1", relay.port, limit=1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--bill", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--name", default="default")
    parser.add_argument("--price-factor", type=int, default=FACTOR_ONE, help="millionths of the listed prices")
    parser.add_argument("--micros-per-dollar", type=int, default=MICROS_PER_DOLLAR, help="price of 500,000 points")
    parser.add_argument("--calm", action="store_true", help="no faults")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
