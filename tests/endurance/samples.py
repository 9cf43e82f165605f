"""Samples of the gateway's memory and descriptors, and marks of the faults, over the time of the run."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """State of the gateway's process, `at_s` seconds after the start."""

    at_s: float
    rss_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Mark:
    """Fault from `at_s` to `until_s`, in seconds after the start."""

    at_s: float
    until_s: float
    name: str


@dataclass
class Record:
    """Course of a run. `start` is its Unix time."""

    start: float = field(default_factory=time.time)
    samples: list[Sample] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def now_s(self) -> float:
        return time.time() - self.start

    async def sample(self, pid: Callable[[], int | None]) -> None:
        """Sample the process of `pid`, which may change, until it is cancelled."""
        while True:
            with suppress(psutil.Error):
                if (current := pid()) is not None:
                    self.take(current)
            await asyncio.sleep(EVERY_S)

    def take(self, pid: int) -> Sample:
        process = psutil.Process(pid)
        sample = Sample(self.now_s, process.memory_info().rss, process.num_fds())
        self.samples.append(sample)
        return sample

    def rss_bytes(self, from_s: float, until_s: float) -> int | None:
        """Return the median of a span of time; None without a sample in it."""
        found = [sample.rss_bytes for sample in self.samples if from_s <= sample.at_s <= until_s]
        return round(median(found)) if found else None


def descriptors(pid: int) -> str:
    """Describe the open descriptors of a process: files, pipes and connections, by their other end."""
    process = psutil.Process(pid)
    ports = [getattr(connection.raddr, "port", 0) for connection in process.net_connections()]
    kinds = Counter(f"port {port}" for port in ports)
    kinds.update(Path(file.path).parent.name or file.path for file in process.open_files())
    return ", ".join(f"{count} {name}" for name, count in kinds.most_common(12))
