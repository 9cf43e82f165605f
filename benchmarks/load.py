"""The clients of the benchmarks, a process of its own: reads a Load as JSON from stdin, prints a Tally as JSON."""

import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from benchmarks.http import Message

HOST = "127.0.0.1"
HUNG_UP = "hung up"


@dataclass(frozen=True, slots=True)
class Load:
    """Description of a load: requests, ports to use in turn, end. The body lies in a file. `timeout_s` ends everything.

    With `leave_within_s` every second client hangs up by then, at a moment of its own, and comes back as a new one.
    """

    ports: tuple[int, ...]
    path: str
    key: str
    content_type: str
    body: str
    connections: int
    requests_max: int
    seconds: float
    answer_bytes_min: int = 0
    leave_within_s: float = 0.0
    timeout_s: float = 90.0

    @property
    def leaving(self) -> int:
        return self.connections // 2 if self.leave_within_s else 0


@dataclass(frozen=True, slots=True)
class Tally:
    """`failed` counts by reason whatever was not a 200 of the right length."""

    sent: int
    good: int
    failed: dict[str, int]
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def left(self) -> int:
        return self.failed.get(HUNG_UP, 0)

    @property
    def rps(self) -> float:
        return self.good / self.seconds if self.seconds else 0.0


class Crowd:
    """All clients together: who sends next, and what came of it."""

    def __init__(self, load: Load):
        self.load = load
        self.request = _request(load)
        self.sent = 0
        self.failed: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.gone = asyncio.Event()
        self._busy = load.connections - load.leaving
        self._until = 0.0

    def begin(self) -> None:
        self._until = perf_counter() + self.load.seconds

    def wants_more(self) -> bool:
        return self.sent < self.load.requests_max and perf_counter() < self._until

    def leave(self) -> None:
        self._busy -= 1
        if self._busy == 0:
            self.gone.set()

    def tally(self, seconds: float) -> Tally:
        good = sorted(self.latencies_s)
        if missing := self.sent - len(good) - self.failed.total():
            self.failed["no answer in time"] = missing
        return Tally(self.sent, len(good), dict(self.failed), seconds, _ms(good, 0.5), _ms(good, 0.99))


class Client(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, crowd: Crowd):
        self._crowd = crowd
        self._message: Message | None = None
        self._sent_at = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def go_on(self) -> None:
        if not self._crowd.wants_more():
            self._transport.close()
            return
        self._crowd.sent += 1
        self._message, self._sent_at = Message(), perf_counter()
        self._transport.write(self._crowd.request)

    def data_received(self, data: bytes) -> None:
        if self._message is not None and self._message.takes(data):
            message, self._message = self._message, None
            self._judge(message)
            self.go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio's)
        if self._message is not None:
            self._crowd.failed["connection lost"] += 1
        self._crowd.leave()

    def _judge(self, message: Message) -> None:
        status = message.first_line.split(b" ")[1].decode()
        if status != "200":
            self._crowd.failed[status] += 1
        elif message.body_bytes < self._crowd.load.answer_bytes_min:
            self._crowd.failed["too short"] += 1
        else:
            self._crowd.latencies_s.append(perf_counter() - self._sent_at)


async def _hang_up(crowd: Crowd, port: int) -> None:
    """One client after another that does not wait for its answer."""
    loop = asyncio.get_running_loop()
    while crowd.wants_more():
        crowd.sent += 1
        transport, _ = await loop.create_connection(asyncio.Protocol, HOST, port)
        transport.write(crowd.request)
        await asyncio.sleep(random.uniform(0, crowd.load.leave_within_s))
        transport.close()
        crowd.failed[HUNG_UP] += 1


def _request(load: Load) -> bytes:
    body = Path(load.body).read_bytes()
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {load.key}\r\n"
        f"Content-Type: {load.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _ms(ordered_s: list[float], share: float) -> float:
    return ordered_s[min(len(ordered_s) - 1, int(len(ordered_s) * share))] * 1000 if ordered_s else 0.0


async def crowded(load: Load) -> Tally:
    """Run the load; return the tally once all clients are gone."""
    crowd, loop = Crowd(load), asyncio.get_running_loop()
    ports = [load.ports[number % len(load.ports)] for number in range(load.connections)]
    leaving, staying = ports[: load.leaving], ports[load.leaving :]
    made = await asyncio.gather(*(loop.create_connection(lambda: Client(crowd), HOST, port) for port in staying))
    start = perf_counter()
    crowd.begin()
    for _, client in made:
        client.go_on()
    try:
        async with asyncio.timeout(load.timeout_s):
            await asyncio.gather(crowd.gone.wait(), *(_hang_up(crowd, port) for port in leaving))
    except TimeoutError:
        pass
    return crowd.tally(perf_counter() - start)


def main() -> None:
    given = json.loads(sys.stdin.read())
    print(json.dumps(asdict(uvloop.run(crowded(Load(**given))))))


if __name__ == "__main__":
    main()
