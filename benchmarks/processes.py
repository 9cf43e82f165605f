"""Processor time and memory of running processes, each with its children."""

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
from benchmarks.scenarios import RelayBehaviour
from benchmarks.upstream import ReceivedRequests

STOP_S = 20.0


def cpu_s(pids: Sequence[int]) -> float:
    """User and system time, that of children which have ended included."""
    return sum(sum(process.cpu_times()[:4]) for process in _families(pids))


def rss_bytes(pids: Sequence[int]) -> int:
    return sum(process.memory_info().rss for process in _families(pids))


def forget_peak(pids: Sequence[int]) -> None:
    """Reset the peak that `peak_bytes` returns."""
    for process in _families(pids):
        with suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak_bytes(pids: Sequence[int]) -> int:
    """The most resident memory of each, added up."""
    statuses = [Path(f"/proc/{process.pid}/status").read_text() for process in _families(pids)]
    return sum(int(found[1]) * 1024 for status in statuses if (found := re.search(r"VmHWM:\s+(\d+)", status)))


async def send_load(load: Load) -> Tally:
    """Run the load in a process of its own, so that nothing here slows it down."""
    process = await start_module("benchmarks.load", stdin=asyncio.subprocess.PIPE)
    out, _ = await process.communicate(json.dumps(asdict(load)).encode())
    return Tally(**json.loads(out))


class Upstream:
    """The running relay; behind TLS, too, where it has a `certificate`. `behave` tells what has come since the last time."""

    def __init__(self, process: asyncio.subprocess.Process, ports: list[int], certificate: Path | None):
        self.port = ports[0]
        self.pid = process.pid
        self.certificate = certificate
        self._ports = ports
        self._process = process

    def url(self, *, tls: bool) -> str:
        return f"https://127.0.0.1:{self._ports[1]}" if tls else f"http://127.0.0.1:{self.port}"

    async def behave(self, manner: RelayBehaviour) -> ReceivedRequests:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(manner)).encode() + b"\n")
        async with asyncio.timeout(10):
            return ReceivedRequests(**json.loads(await self._process.stdout.readline()))


@asynccontextmanager
async def running_upstream(certificate: Path | None = None) -> AsyncIterator[Upstream]:
    words = [] if certificate is None else [str(certificate)]
    process = await start_module("benchmarks.upstream", *words, stdin=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            ports = [int(port) for port in (await process.stdout.readline()).split()]
        yield Upstream(process, ports, certificate)
    finally:
        await end(process)


async def start_module(name: str, *words: str, **options: Any) -> asyncio.subprocess.Process:
    command = (sys.executable, "-m", name, *words)
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, **options)


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
