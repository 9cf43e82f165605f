"""What running processes have used: processor time and memory, of each with its children."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import Load, Tally
from benchmarks.scenarios import Manner
from benchmarks.upstream import Heard

STOP_S = 20.0


def cpu_s(pids: Sequence[int]) -> float:
    """User and system time, that of children which have ended included."""
    return sum(sum(process.cpu_times()[:4]) for process in _families(pids))


def rss_bytes(pids: Sequence[int]) -> int:
    return sum(process.memory_info().rss for process in _families(pids))


def forget_peak(pids: Sequence[int]) -> None:
    """From now on `peak_bytes` tells the most that follows."""
    for process in _families(pids):
        with suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak_bytes(pids: Sequence[int]) -> int:
    """The most resident memory of each, added up."""
    statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in _families(pids)]
    return sum(int(found[1]) * 1024 for status in statuses if (found := re.search(r"VmHWM:\s+(\d+)", status)))


async def send_load(load: Load) -> Tally:
    """In a process of its own, so that nothing here slows it down."""
    process = await start_module("benchmarks.load", stdin=asyncio.subprocess.PIPE)
    out, _ = await process.communicate(json.dumps(asdict(load)).encode())
    return Tally(**json.loads(out))


class Upstream:
    """The running relay. `behave` tells what has come since the last time."""

    def __init__(self, process: asyncio.subprocess.Process, port: int):
        self.port = port
        self.pid = process.pid
        self._process = process

    async def behave(self, manner: Manner) -> Heard:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(manner)).encode() + b"\n")
        async with asyncio.timeout(10):
            return Heard(**json.loads(await self._process.stdout.readline()))


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    process = await start_module("benchmarks.upstream", stdin=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
        yield Upstream(process, port)
    finally:
        await end(process)


async def start_module(name: str, **options: Any) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", name, stdout=asyncio.subprocess.PIPE, **options)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask it to leave, and make it when it does not."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _families(pids: Sequence[int]) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in pids]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]
