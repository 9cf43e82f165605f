"""Interleaved rounds: every target in turn, again and again, so that a busy minute of the machine falls on all of them."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.books import complaint
from benchmarks.load import Load, Tally
from benchmarks.processes import Upstream, cpu_s, forget_peak, peak_bytes, rss_bytes, send_load
from benchmarks.scenarios import GENERATIONS, MIB, RelayBehaviour, Scenario, request_body
from benchmarks.targets import Target

WARM_UP, REHEARSAL = 300, 20
"""Requests after a start, and before each measurement."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One scenario on one target in one round. `figures` by name, as Scenario.shows has them; None in `books`: none are kept."""

    target: str
    scenario: str
    round: int
    tally: Tally
    figures: dict[str, float]
    books: str | None

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Bench:
    """Runs scenarios. `folder` is for request bodies."""

    targets: Sequence[Target]
    upstream: Upstream
    folder: Path

    async def run(self, scenario: Scenario, rounds: int) -> list[Measurement]:
        found: list[Measurement] = []
        for number in range(rounds):
            turn = [*self.targets[number % len(self.targets) :], *self.targets[: number % len(self.targets)]]
            for target in turn:
                if scenario.direct or target.pids:
                    found.append(await self._measure(scenario, target, number))
                    say(_line(found[-1]))
        return found

    async def prepare(self, target: Target, *, tls: bool = False) -> float:
        """Start it and let it get warm; seconds until it was ready. `tls`: for the relay behind TLS."""
        seconds = await target.start(tls=tls)
        await self.upstream.behave(RelayBehaviour())
        await send_load(self._load(None, target, WARM_UP, 16))
        return seconds

    async def _measure(self, scenario: Scenario, target: Target, number: int) -> Measurement:
        start_s = 0.0
        if target.pids and (scenario.fresh or scenario.tls is not target.tls):
            await target.stop()
            start_s = await self.prepare(target, tls=scenario.tls)
        await self.upstream.behave(RelayBehaviour())
        await send_load(self._load(None, target, REHEARSAL, 4))
        books, idle_bytes, cpu_before_s = await target.books(), rss_bytes(target.pids), cpu_s(target.pids)
        forget_peak(target.pids)
        await self.upstream.behave(scenario.manner)
        tally = await send_load(self._load(scenario, target, scenario.requests_max, scenario.connections))
        spent_s, peak = cpu_s(target.pids) - cpu_before_s, peak_bytes(target.pids)
        after = await target.books()  # Before the relay is asked: it may still be called for clients who have left.
        heard = await self.upstream.behave(RelayBehaviour())
        target.clear()
        figures = {"rps": tally.rps, "p50_ms": tally.p50_ms, "p99_ms": tally.p99_ms}
        if target.pids:
            figures |= {
                "cpu_ms": spent_s * 1000 / max(1, tally.sent),
                "peak_mib": peak / MIB,
                "growth_mib": (peak - idle_bytes) / MIB,
                "kib_each": (peak - idle_bytes) / 1024 / scenario.connections,
                "idle_mib": idle_bytes / MIB,
                "start_s": start_s,
            }
        said = None if books is None or after is None else complaint(books, after, tally, heard.calls)
        return Measurement(target.name, scenario.name, number, tally, figures, said)

    def _load(self, scenario: Scenario | None, target: Target, requests: int, connections: int) -> Load:
        edits = scenario is not None and scenario.edits
        body, kind_file = self.folder / f"body-{edits}", self.folder / f"type-{edits}"
        if not body.exists():
            kind, content = request_body(edits)
            body.write_bytes(content)
            kind_file.write_text(kind)
        return Load(
            target.ports,
            scenario.path if scenario else GENERATIONS,
            target.key,
            kind_file.read_text(),
            str(body),
            connections,
            requests,
            scenario.seconds if scenario else 30.0,
            scenario.answer_bytes_min if scenario else 0,
            scenario.leave_within_s if scenario else 0.0,
        )


def complaints(found: Sequence[Measurement]) -> list[str]:
    """A line for each measurement after which the books did not agree."""
    return [
        f"the books of {one.target} do not agree after {one.scenario}, round {one.round + 1}: {one.books}"
        for one in found
        if one.books
    ]


def _line(one: Measurement) -> str:
    figures = ", ".join(f"{name} {value:.3g}" for name, value in one.figures.items() if value)
    books = "" if one.books is None else f"; books: {one.books or 'agree'}"
    return f"{one.scenario} {one.round + 1} {one.target}: {one.tally.good} of {one.tally.sent}; {figures}{books}"


def say(words: str) -> None:
    print(f"bench: {words}", file=sys.stderr, flush=True)
