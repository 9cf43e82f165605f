"""`python3 dev.py storm clients`: stock OpenAI SDKs through every shape of failure, and what the relay charged for each call.

Every call is made twice: by a client of imagegate, and by the same client pointed at the relay. The relay's bill is what counts.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.storm.sdks import sdks_here
from tests.storm.shapes import SHAPES, Job, Sdk, Shape, make_jobs
from tests.storm.worlds import Measured, World, world_with_gateway, world_without_gateway

HEAD = ("shape", "proxy", "fails at", "calls", *("charged", "most", "pictures", "POSTs") * 2, "kept")


@dataclass(frozen=True, slots=True)
class CallSummary:
    """Summary of some calls: charges per call and the most for one, the share of the calls that ended with a picture, POSTs per
    call, and the share of the calls whose picture is in the book, whether it arrived or not."""

    calls: int
    charged: float
    most: int
    pictures: float
    posts: float
    kept: float

    @classmethod
    def of(cls, measured: Sequence[Measured]) -> "CallSummary":
        count = len(measured)
        return cls(
            calls=count,
            charged=round(sum(one.charges for one in measured) / count, 4),
            most=max(one.charges for one in measured),
            pictures=round(sum(one.failure is None for one in measured) / count, 4),
            posts=round(sum(one.posts for one in measured) / count, 4),
            kept=round(sum(one.kept for one in measured) / count, 4),
        )

    def cells(self) -> tuple[str, ...]:
        return f"{self.charged:.2f}", str(self.most), f"{self.pictures:.0%}", f"{self.posts:.2f}"

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Pair:
    """The same call with imagegate and without."""

    here: Measured
    bare: Measured

    @property
    def job(self) -> Job:
        return self.here.job


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imagegate-clients-", ignore_cleanup_errors=True) as folder:
        return asyncio.run(_main(given, Path(folder)))


async def _main(given: argparse.Namespace, folder: Path) -> int:
    start = time.monotonic()
    wanted: list[Shape] = [shape for shape in SHAPES if not given.shape or shape in given.shape]
    sdks: tuple[Sdk, ...] = tuple(given.sdk) or sdks_here()
    pairs: list[Pair] = []
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(world_with_gateway(folder, given.database, given.cut))
        bare = await stack.enter_async_context(world_without_gateway(given.cut))
        for shape in wanted:
            new = await compare(here, bare, make_jobs(shape, given.calls, sdks, given.cut), given.rate)
            pairs += new
            _say(f"{shape}: {_sentence(new)}; {time.monotonic() - start:.0f} s")
        assert here.gateway is not None
        wrong = await here.gateway.wrong(here.charged)
    wrong += violations(pairs)
    print(json.dumps(_document(pairs, wrong, time.monotonic() - start)) if given.json else table(pairs))
    for words in wrong:
        _say(f"VIOLATION: {words}")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 dev.py storm clients", description=__doc__)
    parser.add_argument("--calls", type=int, default=500, help="of each SDK through each shape")
    parser.add_argument("--rate", type=float, default=12.0, help="calls started in a second, on either side")
    parser.add_argument(
        "--cut", type=float, default=5.0, help="seconds after which the proxy cuts; the rest is in proportion"
    )
    parser.add_argument("--shape", action="append", choices=SHAPES, help="only this one; may be repeated")
    parser.add_argument("--sdk", action="append", choices=("python", "node"), default=[], help="only this one")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    return parser


async def compare(here: World, bare: World, jobs: Sequence[Job], rate: float) -> list[Pair]:
    """The same calls through imagegate and without it, at the same time."""
    through, without = await asyncio.gather(here.send(jobs, rate), bare.send(jobs, rate))
    return [Pair(one, other) for one, other in zip(through, without, strict=True)]


def violations(pairs: Iterable[Pair]) -> list[str]:
    """The calls that were charged more than once with imagegate."""
    return [
        f"{pair.job.marker}: {pair.here.charges} charges in {pair.here.posts} POSTs ({pair.here.failure or 'a picture'})"
        for pair in pairs
        if pair.here.charges > 1
    ]


def rows(pairs: Iterable[Pair]) -> dict[tuple[Any, ...], list[Pair]]:
    """Group pairs by shape, proxy and place."""
    found: dict[tuple[Any, ...], list[Pair]] = {}
    for pair in pairs:
        found.setdefault((pair.job.shape, pair.job.cut, pair.job.place), []).append(pair)
    return found


def table(pairs: Sequence[Pair]) -> str:
    """A line for each shape, proxy and place; then one for each shape, and one for all."""
    lines: list[tuple[str, ...]] = [("", "", "", "", "with", "", "", "", "without", "", "", "", "with"), HEAD]
    for (shape, cut, place), mine in rows(pairs).items():
        lines.append(_line(shape, "cuts" if cut else "none", place, mine))
    for shape in dict.fromkeys(pair.job.shape for pair in pairs):
        mine = [pair for pair in pairs if pair.job.shape == shape]
        lines.append(_line(f"{shape}, all", "", "", mine))
    lines.append(_line("all", "", "", pairs))
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _line(shape: str, proxy: str, place: str, pairs: Sequence[Pair]) -> tuple[str, ...]:
    here, bare = _both(pairs)
    return shape, proxy, place, str(here.calls), *here.cells(), *bare.cells(), f"{here.kept:.0%}"


def _both(pairs: Sequence[Pair]) -> tuple[CallSummary, CallSummary]:
    return CallSummary.of([pair.here for pair in pairs]), CallSummary.of([pair.bare for pair in pairs])


def _sentence(pairs: Sequence[Pair]) -> str:
    here, bare = _both(pairs)
    return (
        f"{here.calls} calls, {here.charged:.3f} charges a call with imagegate ({here.most} at most), {bare.charged:.3f} without "
        f"({bare.most}); pictures {here.pictures:.0%} and {bare.pictures:.0%}"
    )


def _document(pairs: Sequence[Pair], wrong: list[str], seconds: float) -> dict[str, Any]:
    listed = []
    for (shape, cut, place), mine in rows(pairs).items():
        for sdk in sorted({pair.job.sdk for pair in mine}):
            here, bare = _both([pair for pair in mine if pair.job.sdk == sdk])
            names = {"shape": shape, "proxy_cuts": cut, "fails_at": place, "sdk": sdk}
            listed.append(names | {"with": here.as_json(), "without": bare.as_json()})
    return {"seconds": round(seconds, 1), "violations": wrong, "rows": listed}


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
