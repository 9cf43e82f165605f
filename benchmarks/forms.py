"""`bench forms`: what a request takes while pictures are kept, and while they are converted to the form that was asked for.

Two gateways on SQLite, of which one keeps no pictures, and clients that buy pictures of 2 MiB one after another, each of other
bytes, in rounds of all kinds in turn.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.processes import running_upstream
from benchmarks.rounds import say
from benchmarks.scenarios import GENERATIONS, MIB, RelayBehaviour
from benchmarks.table import aligned
from benchmarks.targets import Imagegate

BODY = {"model": "gpt-image-1", "prompt": "a lighthouse"}
WARM_S = 3.0
REST_S = 2.0
"""Time after a round in which the pictures of the last answers are kept."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of requests: what the relay sends and the client asks for, and whether the gateway keeps pictures."""

    name: str
    linked: bool = False
    response_format: str | None = None
    keeps: bool = True


KINDS = (
    Kind("base64, none kept", keeps=False),
    Kind("base64, kept"),
    Kind("link sent as base64", linked=True),
    Kind("base64 sent as link", response_format="url"),
    Kind("link sent as link", linked=True, response_format="url"),
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 dev.py bench forms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each kind, in turn")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each round")
    parser.add_argument("--clients", type=int, default=1, help="that buy pictures at once")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-", ignore_cleanup_errors=True) as folder:
        asyncio.run(_measure(given, Path(folder)))
    return 0


async def _measure(given: argparse.Namespace, folder: Path) -> None:
    async with running_upstream() as upstream:
        gateways = {
            True: Imagegate("kept", folder / "kept", upstream, settings={"pictures_fetch_networks": "127.0.0.0/8"}),
            False: Imagegate("off", folder / "off", upstream, settings={"pictures_keep_days": "0"}),
        }
        rounds: dict[Kind, list[list[float]]] = {kind: [] for kind in KINDS}
        try:
            for gateway in gateways.values():
                await gateway.set_up()
                await gateway.start(tls=False)
            for number in range(given.rounds + 1):
                for kind in KINDS:
                    await upstream.behave(RelayBehaviour(2 * MIB, unique=True, linked=kind.linked))
                    seconds = given.seconds if number else WARM_S
                    times_ms = await _buy(gateways[kind.keeps], kind, given.clients, seconds)
                    await asyncio.sleep(REST_S)
                    if number:
                        rounds[kind].append(times_ms)
                        say(f"{kind.name}: p50 {statistics.median(times_ms):.1f} ms of {len(times_ms)}")
        finally:
            await asyncio.gather(*(gateway.stop() for gateway in gateways.values()))
    print(_table(rounds))


async def _buy(gateway: Imagegate, kind: Kind, clients: int, seconds: float) -> list[float]:
    """Buy pictures; returns the time of each in ms."""
    times_ms: list[float] = []
    until = time.perf_counter() + seconds
    body = BODY | ({} if kind.response_format is None else {"response_format": kind.response_format})
    headers = {"authorization": f"Bearer {gateway.key}"}

    async def one(http: httpx2.AsyncClient) -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            answer = await http.post(GENERATIONS, json=body)
            times_ms.append((time.perf_counter() - began) * 1000)
            _check(answer, kind.response_format or "b64_json")
            await asyncio.sleep(0.05)

    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{gateway.ports[0]}", headers=headers, timeout=60) as http:
        await asyncio.gather(*(one(http) for _ in range(clients)))
    return times_ms


def _check(answer: httpx2.Response, form: str) -> None:
    assert answer.status_code == 200, answer.text
    item: dict[str, Any] = answer.json()["data"][0]
    assert item.keys() == {form} and "x-imagegate-response-format" not in answer.headers, item.keys()


def _table(rounds: dict[Kind, list[list[float]]]) -> str:
    """Medians over the rounds, beside the first kind."""
    lines, first = [["answer", "p50 ms", "p95 ms", "more ms", "times", "requests", ""]], 0.0
    for kind, found in rounds.items():
        p50_ms = statistics.median(statistics.median(times_ms) for times_ms in found)
        p95_ms = statistics.median(sorted(times_ms)[int(len(times_ms) * 0.95)] for times_ms in found)
        first = first or p50_ms
        count = sum(map(len, found))
        more = [f"{p50_ms - first:+.1f}", f"{p50_ms / first:.2f}"]
        lines.append([kind.name, f"{p50_ms:.1f}", f"{p95_ms:.1f}", *more, str(count), ""])
    return aligned(lines)
