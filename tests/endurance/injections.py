"""Faults of the fault run: each begins, lasts for a while and is mended again; or kills, and what was killed starts again."""

import asyncio
import os
import random
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.endurance.cable import Cable
from tests.endurance.samples import Mark, Record
from tests.server import Server
from tests.storm.fleet import Fleet
from tests.storm.relays import StormRelay

LASTS_PART, LASTS_S_MAX = 0.6, 3.0
"""Part of the time between two faults that one of them lasts, and how long it lasts at most."""
DISK_SIZE = "8g"
DISK_LEFT_BYTES = 128 * 1024
FILL_TRIES = 10
DISK_FULL = "disk full"
GATEWAY_KILLED = "gateway killed"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything that can fail around a gateway. `disk` is the data directory where it is a file system of its own, else None."""

    first: StormRelay
    second: StormRelay
    postgres: Server
    redis: Server
    postgres_cable: Cable
    redis_cable: Cable
    fleet: Fleet
    disk: Path | None


Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    begin: Step
    mend: Step


def lasting_faults(around: Surroundings) -> list[Fault]:
    """List the faults that last: of both relays, of PostgreSQL and Redis, and a full disk where it can be made."""
    found = [
        _mood("relay A: garbage", around.first, "garbage"),
        _mood("relay A: hangs", around.first, "hang"),
        _mood("relay A: key refused", around.first, "key"),
        _mood("relay A: out of money", around.first, "wallet"),
        _mood("relay B: slow", around.second, "slow"),
    ]
    for server, cable in ((around.redis, around.redis_cable), (around.postgres, around.postgres_cable)):
        found.append(Fault(f"{server.name} stopped", _blocking(server.pause), _blocking(server.resume)))
        found.append(Fault(f"{server.name} cut off", _soon(cable.cut), _soon(cable.mend)))
    if (disk := around.disk) is not None:
        found.append(Fault(DISK_FULL, _blocking(lambda: _fill(disk)), _blocking(lambda: _resize(disk, DISK_SIZE))))
    return found


def killing_faults(around: Surroundings) -> list[Fault]:
    """List what is killed with SIGKILL. The fleet starts its gateway again by itself."""
    kills = [
        Fault(f"{server.name} killed", _blocking(server.kill), _blocking(server.start))
        for server in (around.postgres, around.redis)
    ]
    gateway = around.fleet
    return [Fault(GATEWAY_KILLED, _soon(lambda: gateway.kill(0)), _soon(lambda: None)), *kills]


async def inject(faults: list[Fault], every_s: float, seconds: float, record: Record) -> None:
    """Begin a fault every `every_s` seconds, each as often as the others, in changing order; all are mended at the end."""
    loop, drawn = asyncio.get_running_loop(), _drawn(faults)
    start = loop.time()
    for number in range(1, int(seconds / every_s)):
        await asyncio.sleep(start + number * every_s - loop.time())
        fault, at_s = next(drawn), record.now_s
        try:
            await fault.begin()
            await asyncio.sleep(min(every_s * LASTS_PART, LASTS_S_MAX) if fault.name != GATEWAY_KILLED else 0)
        finally:
            await fault.mend()
            record.marks.append(Mark(at_s, record.now_s, fault.name))


def _drawn(faults: list[Fault]) -> Iterator[Fault]:
    chance = random.Random("faults")
    while True:
        yield from chance.sample(faults, len(faults))


@asynccontextmanager
async def small_disk(folder: Path) -> AsyncIterator[Path | None]:
    """Mount a file system of its own there while the block lasts; None, where that is not allowed, leaves a full disk out."""
    made = await _mount("-t", "tmpfs", "-o", f"size={DISK_SIZE}", "none", str(folder))
    if not made:
        yield None
        return
    with ExitStack() as stack:
        stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=False)
        yield folder


async def _mount(*words: str) -> bool:
    with suppress(FileNotFoundError):
        done = await asyncio.to_thread(subprocess.run, ["mount", *words], capture_output=True, check=False)
        return done.returncode == 0
    return False


def _fill(disk: Path) -> None:
    """Shrink the file system to what is in it; again where more was written meanwhile."""
    for _ in range(FILL_TRIES):
        stat = os.statvfs(disk)
        used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
        with suppress(subprocess.CalledProcessError):
            _resize(disk, str(used + DISK_LEFT_BYTES))
            return


def _resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True, capture_output=True)


def _mood(name: str, relay: StormRelay, mood: str) -> Fault:
    return Fault(name, _soon(lambda: relay.order(mood)), _soon(lambda: relay.order("well")))


def _soon(act: Callable[[], None]) -> Step:
    async def step() -> None:
        act()

    return step


def _blocking(act: Callable[[], object]) -> Step:
    async def step() -> None:
        await asyncio.to_thread(act)

    return step
