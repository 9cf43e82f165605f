"""The relay of the storm, a process of its own: `python -m tests.storm.upstream --seed S --bill FILE`.

What happens to a request depends on the seed, on the marker in its prompt and on how often that marker has come before; on nothing
else. A charge is one line appended to the bill, with one write, before the first byte of the answer: the bill is the oracle.
On SIGUSR1 it does not listen for a moment.
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
from tests.storm.faults import FAULTS, PAUSE_S, Wire, head, reset
from tests.storm.pictures import Asked, picture_at

PRICES_MICROS = {"gpt-image-1": 1_000_000, "flux-kontext-pro": 200_000, "seedream-3.0": 80_000}
UNREAD_SHARE = 0.01
"""Of connections that are reset before anything was read from them."""
DEAF_S = 0.4


@dataclass
class Relay:
    """`bill` is where every arrival is written down, with what it was charged: 0 where it was not."""

    seed: str
    bill: int
    calm: bool = False
    port: int = 0
    connections: int = 0
    arrivals: Counter[str] = field(default_factory=Counter)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if not self.calm and random.Random(f"{self.seed}/connection/{self.connections}").random() < UNREAD_SHARE:
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
        asked = self._arrived(start, body)
        chance = random.Random(f"{self.seed}/{asked.marker}/{asked.arrival}")
        names = list(FAULTS)
        [name] = chance.choices(names, [FAULTS[name].weight for name in names])
        if self.calm:
            name = "good"
        self._write_down(asked, name)
        return await FAULTS[name].play(Wire(asked, chance, writer, self.port))

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

    def _write_down(self, asked: Asked, fault: str) -> None:
        charged = FAULTS[fault].charges
        line = {
            "marker": asked.marker,
            "arrival": asked.arrival,
            "at": time.time(),
            "fault": fault,
            "micros": PRICES_MICROS[asked.model] * asked.n if charged else 0,
            "request_id": asked.request_id,
            "n": asked.n,
            "charged": charged,
        }
        os.write(self.bill, json.dumps(line).encode() + b"\n")


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


async def _run(seed: str, bill: Path, port: int, *, calm: bool) -> None:
    relay = Relay(seed, os.open(bill, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), calm)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", port, limit=1 << 20)
    relay.port = server.sockets[0].getsockname()[1]
    print(relay.port, flush=True)
    deaf, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, deaf.set)
    loop.add_reader(sys.stdin.fileno(), os._exit, 0)  # A pipe from the storm, in which nothing comes but its end.
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
    parser.add_argument("--calm", action="store_true", help="no faults")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(given.seed, given.bill, given.port, calm=given.calm))


if __name__ == "__main__":
    main()
