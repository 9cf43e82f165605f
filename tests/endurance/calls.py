"""Load of the fault run: calls at a steady rate, small pictures and large ones, edits, streams, with and without keys."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.storm.client import Client, Try
from tests.storm.moods import BIG
from tests.storm.plan import EDITED, MODELS, Call

TIMEOUT_S = 30.0
BIG_SHARE, EDIT_SHARE, STREAM_SHARE, KEYED_SHARE = 0.03, 0.2, 0.15, 0.4
UPLOADS_BYTES = (3_000, 120_000, 120_000, 2_000_000)


@dataclass
class CallResult:
    """Call that has ended: when it began, how long all its tries took, and what came of the last one."""

    at: float
    seconds: float
    outcome: str


OUTCOMES = ("picture", "refused", "unknown", "no answer")
"""`refused`: nothing was bought; `unknown`: it may have been charged; `no answer`: the connection broke or nobody listened."""


@dataclass
class Load:
    """Calls under way and those that have ended."""

    client: Client
    keys: int
    rate: float
    seed: str
    calls: list[Call] = field(default_factory=list)
    tries: dict[str, list[Try]] = field(default_factory=dict)
    results: list[CallResult] = field(default_factory=list)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, seconds: float) -> None:
        """Start `rate` calls each second, then wait for the last one to end."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for call in self._drawn():
            if call.at_s > seconds:
                break
            await asyncio.sleep(start + call.at_s - loop.time())
            self.calls.append(call)
            task = asyncio.create_task(self._make(call))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
        await asyncio.gather(*self._under_way)

    async def _make(self, call: Call) -> None:
        at = time.time()
        tries = self.tries[call.name] = []
        await self.client.make(call, tries)
        self.results.append(CallResult(at, time.time() - at, outcome(tries[-1])))

    def _drawn(self) -> Iterator[Call]:
        chance = random.Random(f"{self.seed}/load")
        number = 0
        while True:
            yield self._call(chance, number)
            number += 1

    def _call(self, chance: random.Random, number: int) -> Call:
        is_edit, is_big = chance.random() < EDIT_SHARE, chance.random() < BIG_SHARE
        marker = f"storm-{self.seed}-{number}{BIG if is_big else ''}"
        return Call(
            name=f"{self.seed}-{number}",
            kind="sdk",
            marker=marker,
            key=chance.randrange(self.keys),
            at_s=number / self.rate,
            operation="edit" if is_edit else "generation",
            model=chance.choice(EDITED if is_edit else MODELS),
            n=1 if is_big else chance.choice([1, 1, 1, 2]),
            stream=chance.random() < STREAM_SHARE,
            idempotency_key=f"idem-{marker}" if chance.random() < KEYED_SHARE else None,
            timeout_s=TIMEOUT_S,
            picture_bytes=chance.choice(UPLOADS_BYTES),
        )


def outcome(last: Try) -> str:
    """Return the outcome of a call by its last try."""
    if last.status == 200 and last.whole and not last.code:
        return "picture"
    if last.status in (424, 200):
        return "unknown"
    return "refused" if last.status else "no answer"
