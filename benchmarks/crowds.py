"""`bench crowds`: what one user's small requests take while others misbehave, and the memory that is left afterwards.

Each crowd alone and then all together, against one gateway on SQLite with the sandbox relay, all on loopback:
`keys` are 500 forged API keys that each ask, `bodies` 800 request bodies of one key that are never finished,
`uploads` five unfinished uploads of 30 MB of a key without money, `calls` 20 requests of one user that the relay never answers,
`head` one request head without an end. Whoever is answered comes back after five seconds. No figure is asserted; the books are
checked at the end.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import httpx2

from benchmarks.attackers import CROWDS, HOST, SMALL, Scene
from benchmarks.processes import Upstream, cpu_s, end, rss_bytes, start_module
from benchmarks.results import about_this_run
from benchmarks.rounds import say
from benchmarks.table import aligned
from benchmarks.targets import RELAY_KEY, Imagegate

CALM_S = 60.0
"""Time after a crowd until memory is read again."""
PAUSE_S = 0.1
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Result:
    """Latencies in ms of the other user's requests before and during a crowd; memory of the gateway in MiB; its CPU time as a share
    of the time that passed."""

    crowd: str
    calm_p50_ms: float
    calm_p95_ms: float
    p50_ms: float
    p95_ms: float
    max_ms: float
    requests: int
    failed: int
    memory_before_mib: float
    memory_during_mib: float
    memory_after_mib: float
    cpu_share: float


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python3 dev.py bench crowds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crowd", action="append", choices=[*CROWDS, "all"], help="one of them; may be given again")
    parser.add_argument("--seconds", type=float, default=120.0, help="for each crowd")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="imagegate-crowds-", ignore_cleanup_errors=True) as folder:
        results = asyncio.run(_measure(given.crowd or [*CROWDS, "all"], given.seconds, Path(folder)))
    say(_table(results))
    if given.json:
        given.json.write_text(
            json.dumps({**about_this_run(1), "crowds": [asdict(result) for result in results]}, indent=2)
        )
    return int(any(result.failed for result in results))


# --- the other user --------------------------------------------------------------------------------------------------


async def _measure(crowds: list[str], seconds: float, folder: Path) -> list[Result]:
    results = []
    async with running_sandbox_process() as relay:
        gateway = Imagegate("crowds", folder, relay)
        await gateway.set_up()
        scene_keys = await _attackers(gateway)
        await gateway.start(tls=False)
        try:
            scene = Scene(gateway.ports[0], *scene_keys)
            for crowd in crowds:
                say(f"{crowd}: {seconds:g} s, then {CALM_S:g} s of calm")
                results.append(await _one(crowd, scene, gateway, seconds))
        finally:
            await gateway.stop()
        books = await gateway.books()
        say(f"the books afterwards: {books}")
    return results


async def _attackers(gateway: Imagegate) -> tuple[str, str]:
    keys = []
    for name in ("greedy", "empty"):
        await gateway.command("users", "create", name)
        keys.append(json.loads(await gateway.command("keys", "create", "--user", name, "--json"))["key"])
    await gateway.command("limits", "set", "--user", "empty", "--spend", "0", "--spend-per", "month")
    return keys[0], keys[1]


async def _one(crowd: str, scene: Scene, gateway: Imagegate, seconds: float) -> Result:
    async with httpx2.AsyncClient(base_url=f"http://{HOST}:{scene.port}", timeout=60) as http:
        await _ask(http, gateway.key, 3.0)
        before = rss_bytes(gateway.pids)
        calm, _ = await _ask(http, gateway.key, min(20.0, seconds))
        process = await start_module("benchmarks.attackers", crowd, stdin=asyncio.subprocess.PIPE)
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(asdict(scene)).encode() + b"\n")
            await asyncio.sleep(2.0)  # Until all of them are there.
            cpu_before_s, began = cpu_s(gateway.pids), time.perf_counter()
            latencies_ms, failed = await _ask(http, gateway.key, seconds)
            cpu_share = (cpu_s(gateway.pids) - cpu_before_s) / (time.perf_counter() - began)
            during = rss_bytes(gateway.pids)
        finally:
            await end(process)
        await asyncio.sleep(CALM_S)
        after = rss_bytes(gateway.pids)
    return Result(
        crowd, _share(calm, 0.5), _share(calm, 0.95), _share(latencies_ms, 0.5), _share(latencies_ms, 0.95),
        max(latencies_ms), len(latencies_ms), failed, before / MIB, during / MIB, after / MIB, cpu_share,
    )  # fmt: skip


async def _ask(http: httpx2.AsyncClient, key: str, seconds: float) -> tuple[list[float], int]:
    """Buy small pictures one after another. Returns the latency of each in ms, and how many failed."""
    latencies_ms, failed = [], 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        try:
            answer = await http.post("/v1/images/generations", json=SMALL, headers={"authorization": f"Bearer {key}"})
            failed += answer.status_code != 200
        except httpx2.HTTPError:
            failed += 1
        latencies_ms.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_S)
    return latencies_ms, failed


def _share(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def _table(results: list[Result]) -> str:
    head = "crowd|calm p50 ms|calm p95 ms|p50 ms|p95 ms|max ms|requests|failed|MiB before|during|after|CPU"
    lines = [
        [f"{value:.2f}" if isinstance(value, float) else str(value) for value in astuple(each)] for each in results
    ]
    return aligned([head.split("|"), *lines])


@asynccontextmanager
async def running_sandbox_process() -> AsyncIterator[Upstream]:
    """Run the sandbox relay, which answers at once, as a process."""
    words = ("--port", "0", "--key", RELAY_KEY, "--profile", "N", "--latency-scale", "0")
    process = await start_module("app.sandbox", *words)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            url = (await process.stdout.readline()).decode().strip()
        yield Upstream(process, [int(url.rpartition(":")[2].partition("/")[0])], None)
    finally:
        await end(process)
