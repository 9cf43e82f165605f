"""`python3 dev.py storm handover`: SIGTERM to one of two gateways while it makes pictures, the other one takes over.

Two processes on one PostgreSQL behind a balancer, stock SDKs that keep their connections; nobody may notice anything.
"""

import argparse
import asyncio
import json
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import DatabaseUrl, open_database
from tests.gateways import RELAY_KEY, GatewayProcess, gateway_process, new_key, prepare
from tests.storm.balancer import Balancer, balancer
from tests.storm.sdks import CallResult, SdkCall, call_all, sdks_here
from tests.storm.shapes import Sdk
from tests.storm.worlds import Gateway, database_of

SHORT_S = 0.3
EXIT_S = 120.0
"""How long the one that was told to leave may take after the last picture."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Calls of each SDK: `long` pictures of `long_s` from the start, and a short one every `every_s` until all are done."""

    long: int
    long_s: float
    term_s: float
    every_s: float

    def calls(self, sdk: Sdk, url: str) -> list[SdkCall]:
        seconds = self.long_s + self.term_s
        short = int(seconds / self.every_s)
        return [
            *(self._call(f"storm-handover-{sdk}-long-{number}", url, 0, self.long_s) for number in range(self.long)),
            *(
                self._call(f"storm-handover-{sdk}-short-{number}", url, number * self.every_s, SHORT_S)
                for number in range(short)
            ),
        ]

    def _call(self, marker: str, url: str, at_s: float, delay_s: float) -> SdkCall:
        return SdkCall(marker, f"{url}/v1", f"a cat in a {marker} of roses [[sandbox delay={delay_s}]]", at_s)


@dataclass(frozen=True, slots=True)
class Handover:
    """Result of the experiment. `double`: markers that were charged more than once. `left_s`: after SIGTERM."""

    calls: int
    failures: dict[str, str]
    charges: int
    double: list[str]
    in_flight: int
    after_term: int
    exit_code: int
    left_s: float
    states: dict[str, int]
    wrong: list[str]

    @property
    def good(self) -> bool:
        return not (self.failures or self.double or self.wrong or self.exit_code) and self.charges == self.calls


@dataclass
class Pair:
    """Two gateways behind a balancer; the first is the one to leave."""

    relay: RunningSandbox
    gateways: list[GatewayProcess]
    balancer: Balancer
    book: Gateway
    key: str


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 dev.py storm handover", description=__doc__)
    parser.add_argument("--long", type=int, default=10, help="long pictures of each SDK, all at the start")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a long picture takes")
    parser.add_argument("--term", type=float, default=10.0, help="when SIGTERM is sent")
    parser.add_argument("--every", type=float, default=0.5, help="a short picture of each SDK after so many seconds")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    schedule = Schedule(given.long, given.seconds, given.term, given.every)
    with tempfile.TemporaryDirectory(prefix="imagegate-handover-", ignore_cleanup_errors=True) as folder:
        came = asyncio.run(_main(Path(folder), schedule))
    print(json.dumps(asdict(came)) if given.json else sentence(came))
    return 0 if came.good else 1


async def _main(folder: Path, schedule: Schedule) -> Handover:
    async with database_of("postgresql") as url, pair(folder, str(url)) as two:
        return await hand_over(two, schedule, sdks_here())


@asynccontextmanager
async def pair(folder: Path, database_url: str) -> AsyncIterator[Pair]:
    """Start two gateways that share a directory, as replicas with shared storage do."""
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)))
        where = DatabaseUrl.of(database_url, folder)
        await prepare(where)
        starts = [gateway_process(folder, relay.base_url, database_url=database_url) for _ in range(2)]
        gateways = [await stack.enter_async_context(start) for start in starts]
        database = open_database(where)
        stack.push_async_callback(database.close)
        key = (await new_key(database)).key
        front = await stack.enter_async_context(balancer([gateway.url for gateway in gateways]))
        yield Pair(relay, gateways, front, Gateway(gateways[1], database), key)


async def hand_over(two: Pair, schedule: Schedule, sdks: tuple[Sdk, ...]) -> Handover:
    """All calls, SIGTERM to the first gateway in the middle of them, and the reckoning."""
    calls = {sdk: schedule.calls(sdk, two.balancer.url) for sdk in sdks}
    asking = asyncio.gather(*(call_all(sdk, two.key, calls[sdk]) for sdk in sdks))
    await _all_long_arrived(two.relay, schedule.long * len(sdks))
    await asyncio.sleep(schedule.term_s)
    in_flight = (await two.book.states())["dispatched"]
    before = len(two.relay.sandbox.bill)
    termed_s = time.monotonic()
    leaving = asyncio.create_task(_leave(two.gateways[0], schedule.long_s + EXIT_S))
    done: dict[str, CallResult] = {}
    for some in await asking:
        done |= some
    exit_code, left_s = await leaving
    await two.book.until_nothing_is_open()
    bill = _charges(two.relay)
    return Handover(
        calls=len(done),
        failures={one.marker: one.failure for one in done.values() if one.failure is not None},
        charges=sum(bill.values()),
        double=[marker for marker, count in bill.items() if count > 1],
        in_flight=in_flight,
        after_term=sum(bill.values()) - before,
        exit_code=exit_code,
        left_s=round(left_s - termed_s, 1),
        states=dict(await two.book.states()),
        wrong=await two.book.wrong(sum(bill.values())),
    )


async def _all_long_arrived(relay: RunningSandbox, count: int) -> None:
    async with asyncio.timeout(60):
        while sum("-long-" in seen.fields.get("prompt", "") for seen in relay.sandbox.seen) < count:
            await asyncio.sleep(0.1)


async def _leave(gateway: GatewayProcess, at_most_s: float) -> tuple[int, float]:
    """SIGTERM, and again every 30 s, as some who are in a hurry do; the exit code, and when it had left."""
    async with asyncio.timeout(at_most_s):
        while True:
            with suppress(TimeoutError):
                return await gateway.stop(signal.SIGTERM), time.monotonic()


def _charges(relay: RunningSandbox) -> Counter[str]:
    prompts = {seen.request_id: seen.fields.get("prompt", "") for seen in relay.sandbox.seen}
    markers = (prompts[charge.request_id].split() for charge in relay.sandbox.bill)
    return Counter(next(word for word in words if word.startswith("storm-")) for words in markers)


def sentence(came: Handover) -> str:
    lines = [
        f"{came.calls} calls, {came.in_flight} in flight at SIGTERM, {came.after_term} bought after it: "
        f"{len(came.failures)} failed, {came.charges} charges, {len(came.double)} charged twice.",
        f"The gateway left {came.left_s} s after SIGTERM with exit code {came.exit_code}. The book: {came.states}.",
        *(f"FAILED {marker}: {failure}" for marker, failure in came.failures.items()),
        *(f"CHARGED TWICE {marker}" for marker in came.double),
        *(f"WRONG {words}" for words in came.wrong),
    ]
    return "\n".join(lines)
