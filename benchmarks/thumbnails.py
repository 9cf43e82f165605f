"""`bench thumbnails`: what requests for images take while thumbnails are made all the time, and while none is made.

One gateway on SQLite, clients that buy pictures of 2 MiB one after another, and others that ask for thumbnails of large pictures.
In rounds in turn these have none yet ("full": the worker is never idle), or have one and are asked for as often ("idle").
"""

import argparse
import asyncio
import itertools
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import sqlalchemy as sa
from blake3 import blake3
from PIL import Image

from app.core.intervals import DAY_MS
from app.store.engine import DatabaseUrl, open_database
from app.store.tables import api_keys, pictures, requests
from benchmarks.processes import running_upstream
from benchmarks.rounds import say
from benchmarks.scenarios import GENERATIONS, MIB, RelayBehaviour
from benchmarks.table import aligned
from benchmarks.targets import Imagegate

BODY = {"model": "gpt-image-1", "prompt": "a lighthouse"}
PICTURES = 3_000
ASKING = 8
"""Clients that ask for thumbnails at once: some wait always."""
SIDE_PX = 1536
WARM_S = 5.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 dev.py bench thumbnails", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each kind, in turn")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each round")
    parser.add_argument("--clients", type=int, default=4, help="that buy pictures at once")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-", ignore_cleanup_errors=True) as folder:
        asyncio.run(_measure(given, Path(folder)))
    return 0


async def _measure(given: argparse.Namespace, folder: Path) -> None:
    async with running_upstream() as upstream:
        gateway = Imagegate("thumbnails", folder, upstream)
        await gateway.set_up()
        waiting = await _keep(folder / "0")
        await gateway.start(tls=False)
        await upstream.behave(RelayBehaviour(image_bytes=2 * MIB))
        headers = {"authorization": f"Bearer {gateway.key}"}
        limits = httpx2.Limits(max_connections=100)
        rounds: dict[str, list[tuple[list[float], int]]] = {"idle": [], "full": []}
        try:
            async with httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{gateway.ports[0]}", headers=headers, timeout=60, limits=limits
            ) as http:
                made: list[str] = []
                await _round(http, given.clients, WARM_S, [_ask(http, waiting, made) for _ in range(ASKING)])
                pause_s = ASKING * WARM_S / len(made)
                for number in range(2 * given.rounds):
                    name, made_now = ("idle", "full")[number % 2], list[str]()
                    full = [_ask(http, waiting, made_now) for _ in range(ASKING)] if name == "full" else []
                    idle = [_ask_again(http, made, pause_s) for _ in range(ASKING)] if name == "idle" else []
                    latencies_ms = await _round(http, given.clients, given.seconds, full + idle)
                    rounds[name].append((latencies_ms, len(made_now)))
                    pause_s = ASKING * given.seconds / len(made_now) if made_now else pause_s
                    p50_ms, p95_ms = _at(latencies_ms, 0.5), _at(latencies_ms, 0.95)
                    say(f"{name}: p50 {p50_ms:.1f} ms, p95 {p95_ms:.1f} ms, {len(made_now)} thumbnails")
        finally:
            await gateway.stop()
    print(_table(rounds))


async def _round(
    http: httpx2.AsyncClient, clients: int, seconds: float, asking: Sequence[Coroutine[Any, Any, None]]
) -> list[float]:
    """Buy pictures while others ask for thumbnails; returns the time of each purchase in ms."""
    tasks = [asyncio.create_task(each) for each in asking]
    latencies_ms = await _buy(http, clients, seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return latencies_ms


async def _keep(data_dir: Path) -> list[str]:
    """Keep large pictures, each with other bytes at its end, that have no thumbnails; returns their ids."""
    png = data_dir / "picture.png"
    Image.effect_noise((SIDE_PX, SIDE_PX), 60).convert("RGB").save(png)
    data, names = png.read_bytes(), []
    database = open_database(DatabaseUrl.of(None, data_dir))
    async with database.read() as connection:
        key = (await connection.execute(sa.select(api_keys))).mappings().one()
    now_ms, rows = await database.now_ms(), []
    (data_dir / "pictures").mkdir(mode=0o700, exist_ok=True)
    for number in range(PICTURES):
        own = b"%08d" % number
        name = blake3(data + own).hexdigest()
        names.append(name)
        file = data_dir / "pictures" / name
        if number == 0:
            file.write_bytes(data)
        else:  # Links to one file: the bytes are only read.
            file.hardlink_to(data_dir / "pictures" / names[0])
        rows.append(_row(number, name, len(data), key, now_ms))
    async with database.transaction() as connection:
        await connection.execute(sa.insert(requests), [_request(row, now_ms) for row in rows])
        await connection.execute(sa.insert(pictures), rows)
    await database.close()
    return [row["id"] for row in rows]


def _row(number: int, digest: str, size_bytes: int, key: sa.RowMapping, now_ms: int) -> dict[str, Any]:
    return {
        "id": f"req_{number:028d}_0", "request_id": f"req_{number:028d}", "index": 0, "user_id": key["user_id"],
        "project_id": key["project_id"], "model": "gpt-image-1", "digest": digest, "media_type": "image/png",
        "bytes": size_bytes, "c2pa": 0, "visibility": "private", "created_at_ms": now_ms, "kept_until_ms": now_ms + 30 * DAY_MS,
    }  # fmt: skip


def _request(picture: dict[str, Any], now_ms: int) -> dict[str, Any]:
    return {
        "id": picture["request_id"], "state": "released", "owner": "proc_benchmark", "api_key_id": "key_benchmark",
        "user_id": picture["user_id"], "project_id": picture["project_id"], "operation": "generation",
        "model": "gpt-image-1", "n": 1, "stream": 0, "prompt_chars": 10, "counter_ids": [], "quote_micros": 0,
        "reserved_at_ms": now_ms,
    }  # fmt: skip


async def _buy(http: httpx2.AsyncClient, clients: int, seconds: float) -> list[float]:
    """Buy pictures; returns the time of each in ms."""
    latencies_ms: list[float] = []
    until = time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < until:
            began = time.perf_counter()
            answer = await http.post(GENERATIONS, json=BODY)
            assert answer.status_code == 200, answer.text
            latencies_ms.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.1)

    await asyncio.gather(*(one() for _ in range(clients)))
    return latencies_ms


async def _ask(http: httpx2.AsyncClient, waiting: list[str], made: list[str]) -> None:
    """Ask for one thumbnail after another, until it is cancelled; a link is not needed, as the key is the pictures' own."""
    with suppress(IndexError):
        while True:
            id = waiting.pop()
            while (answer := await http.get(f"/v1/images/pictures/{id}/thumbnail")).status_code == 503:
                pass
            assert answer.status_code == 200, answer.text
            made.append(id)


async def _ask_again(http: httpx2.AsyncClient, made: Sequence[str], pause_s: float) -> None:
    """Ask for thumbnails that are made, one in `pause_s`, until it is cancelled."""
    for id in itertools.cycle(made):
        answer = await http.get(f"/v1/images/pictures/{id}/thumbnail")
        assert answer.status_code == 200, answer.text
        await asyncio.sleep(pause_s)


def _at(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def _table(rounds: dict[str, list[tuple[list[float], int]]]) -> str:
    lines = [["worker", "p50 ms", "p95 ms", "requests", "thumbnails", ""]]
    for name, found in rounds.items():
        latencies_ms = [each for of_round, _ in found for each in of_round]
        times = [f"{_at(latencies_ms, share):.1f}" for share in (0.5, 0.95)]
        lines.append([name, *times, str(len(latencies_ms)), str(sum(made for _, made in found)), ""])
    return aligned(lines)
