"""One fault run: a gateway on PostgreSQL and Redis, two relays, a steady load, faults; then the reckoning."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp

from app.core.relays import DEFAULT, Relay
from app.store.engine import Database, DatabaseUrl, open_database
from tests import forks
from tests.endurance.cable import Cable, cable
from tests.endurance.calls import OUTCOMES, Load
from tests.endurance.injections import Surroundings, inject, killing_faults, lasting_faults, small_disk
from tests.endurance.reckoning import Reckoning, open_violations, reckon
from tests.endurance.samples import Record, descriptors
from tests.gateways import set_limit
from tests.storm.books import Violation, take
from tests.storm.client import Client
from tests.storm.fleet import Fleet, Member, make_members
from tests.storm.relay_plan import SECOND
from tests.storm.relays import StormRelay, register, relay_process
from tests.storm.stage import KEYS, Stage, judge, set_stage

LIMIT = 9_000_000
"""Whole units of money: limits are there to be counted, not to be reached."""
IN_FLIGHT_MAX = 1000
EXCHANGE_DEADLINE_S, CLIENT_DEADLINE_S = 20.0, 15.0
END_S = 30.0
"""Time after the last answer in which the gateway must have ended every row, and closed what it does not need."""
TENTH_MINUTE_S = 600.0
RSS_GROWTH_MAX = 0.1
DESCRIPTORS_MORE_MAX = 25
SECOND_RELAY = Relay(
    SECOND, profile="N", weight=1, concurrent=60, price_factor=1_250_000, micros_per_dollar=2_000_000, created_at_ms=1
)


@dataclass(frozen=True, slots=True)
class Options:
    """`every_s` lies between two faults; `kills`: they kill instead of hinder."""

    minutes: float
    every_s: float
    rate: float
    kills: bool


@dataclass
class RunResult:
    """Result of a run, with all that its report needs."""

    options: Options
    record: Record
    load: Load
    reckoning: Reckoning
    deaths: int = 0
    left_out: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        outcomes = [result.outcome for result in self.load.results]
        samples = self.record.samples
        return {
            "minutes": self.options.minutes,
            "every_s": self.options.every_s,
            "kills": self.options.kills,
            "calls": len(self.load.calls),
            "tries": sum(len(tries) for tries in self.load.tries.values()),
            "outcomes": {name: outcomes.count(name) for name in OUTCOMES},
            "rows": dict(self.reckoning.states),
            "numbers": self.reckoning.numbers,
            "faults": len(self.record.marks),
            "gateway_deaths": self.deaths,
            "left_out": self.left_out,
            "rss_bytes": {"tenth_minute": self.rss_at_tenth_minute, "end": samples[-1].rss_bytes},
            "descriptors": {"idle_before": samples[0].descriptors, "idle_after": samples[-1].descriptors},
            "violations": [violation.what for violation in self.reckoning.violations],
        }

    @property
    def rss_at_tenth_minute(self) -> int | None:
        return self.record.rss_bytes(TENTH_MINUTE_S - 30, TENTH_MINUTE_S + 30)


async def run(options: Options, folder: Path) -> RunResult:
    """Raises nothing for what it finds. Everything that it started has ended when it returns."""
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(set_stage("postgresql", folder, LIMIT))
        assert stage.postgres is not None and stage.redis is not None
        where = await stack.enter_async_context(stage.installation(folder))
        database = open_database(where)
        stack.push_async_callback(database.close)
        await _raise_limits(database, stage)
        first = await stack.enter_async_context(relay_process("endurance", folder, DEFAULT))
        second = await stack.enter_async_context(relay_process("endurance", folder, SECOND_RELAY))
        await register(database, SECOND_RELAY, second.url)
        cables = [await stack.enter_async_context(cable(server.url)) for server in (stage.postgres, stage.redis)]
        data = folder / "data"
        data.mkdir()
        disk = await stack.enter_async_context(small_disk(data))
        member = _member(stage, folder, data, where, first, cables)
        fleet = Fleet([member], [])
        around = Surroundings(first, second, stage.postgres, stage.redis, cables[0], cables[1], fleet, disk)
        for relay in (first, second):
            relay.order("well")
        session = await stack.enter_async_context(_session())
        load = Load(
            Client(session, fleet.urls, [key.secret for key in stage.keys]), len(KEYS), options.rate, "endurance"
        )
        result = RunResult(options, Record(), load, Reckoning())
        if disk is None:
            result.left_out.append("disk full: no file system may be mounted here")
        await _run_gateway(result, around, database)
        result.deaths = fleet.deaths
        async with judge(stage, where, folder / "heir", data, first.url) as gateway:
            reckoning = await reckon(gateway, stage, [first, second], load, result.record)
        reckoning.violations += result.reckoning.violations
        reckoning.numbers |= result.reckoning.numbers
        reckoning.add("the gateway", [Violation(words) for words in fleet.wrong])
        result.reckoning = reckoning
        return result


async def _run_gateway(result: RunResult, around: Surroundings, database: Database) -> None:
    """Load and faults, then half a minute of rest, then the checks that need the living gateway."""
    options, record, fleet, found = result.options, result.record, around.fleet, result.reckoning
    seconds = options.minutes * 60
    try:
        await fleet.start()
        await _warm_up(result.load)
        record.take(_pid(fleet))
        faults = killing_faults(around) if options.kills else lasting_faults(around)
        async with _task(record.sample(lambda: fleet.members[0].pid)), _task(_tell(result)):
            await asyncio.gather(
                result.load.run(seconds), inject(faults, options.every_s, seconds, record), return_exceptions=False
            )
            await fleet.until_ready()
            await asyncio.sleep(END_S)
        found.add("holds without a row", open_violations(await take(database)))
        last = record.take(_pid(fleet))
        if not options.kills:
            found.add("memory and descriptors", _leaks(result, last.descriptors, descriptors(_pid(fleet))))
        found.add("audit", await _audit(fleet.members[0]))
        await fleet.stop(gently=True)
    finally:
        await fleet.stop(gently=False)


async def _warm_up(load: Load) -> None:
    """A few calls, so that the first sample is of a gateway that has loaded everything."""
    await replace(load, seed="endurance-first", calls=load.calls, tries=load.tries, results=[]).run(2.0)
    await asyncio.sleep(1)


def _leaks(result: RunResult, open_at_end: int, which: str) -> list[Violation]:
    found = []
    before, end = result.rss_at_tenth_minute, result.record.rss_bytes(result.record.now_s - END_S, result.record.now_s)
    if before is not None and end is not None and end > before * (1 + RSS_GROWTH_MAX):
        found.append(
            Violation(f"the gateway had {before / 2**20:.0f} MiB at the tenth minute, {end / 2**20:.0f} at the end")
        )
    idle = result.record.samples[0].descriptors
    if open_at_end > idle + DESCRIPTORS_MORE_MAX:
        told = f"the gateway had {idle} descriptors before the load and {open_at_end} after it: {which}"
        found.append(Violation(told))
    return found


async def _audit(member: Member) -> list[Violation]:
    """Run `imagegate audit` beside the gateway."""
    code, out, err = await forks.run(["audit"], {**os.environ, **member.environment}, member.folder)
    return [] if code == 0 else [Violation(f"imagegate audit: {out}{err}")]


def _member(
    stage: Stage, folder: Path, data: Path, where: DatabaseUrl, relay: StormRelay, cables: list[Cable]
) -> Member:
    """The gateway. Its log lies outside of the data directory, which may be full."""
    [member] = make_members(folder, 1, stage.environment(where, relay.url))
    for name in ("results", "pictures"):
        (data / name).mkdir()
    database, redis = cables[0].by_way(where.url), cables[1].url
    ours = {
        "data_dir": str(data),
        "database_url": database,
        "redis_url": redis,
        "upstream_deadline_s": str(EXCHANGE_DEADLINE_S),
        "client_deadline_s": str(CLIENT_DEADLINE_S),
        "disk_free_bytes_min": str(1024 * 1024),
    }
    return replace(
        member, environment=member.environment | {f"IMAGEGATE_{name.upper()}": value for name, value in ours.items()}
    )


async def _raise_limits(database: Database, stage: Stage) -> None:
    """Let the storm's bounds of requests in flight not be what a slow relay runs into."""
    await set_limit(database, "organization", "", "in_flight", "lifetime", IN_FLIGHT_MAX)
    await set_limit(database, "key", stage.keys[0].id, "in_flight", "lifetime", IN_FLIGHT_MAX)


async def _tell(result: RunResult) -> None:
    """Print a line each minute."""
    while True:
        await asyncio.sleep(60)
        outcomes = [done.outcome for done in result.load.results]
        sample = result.record.samples[-1]
        told = ", ".join(f"{outcomes.count(name)} {name}" for name in OUTCOMES)
        last = result.record.marks[-1].name if result.record.marks else "none"
        print(
            f"minute {result.record.now_s / 60:.0f}: {len(result.load.calls)} calls: {told}; {len(result.record.marks)} faults, "
            f"the last: {last}; {sample.rss_bytes / 2**20:.0f} MiB, {sample.descriptors} descriptors",
            flush=True,
        )


def _pid(fleet: Fleet) -> int:
    pid = fleet.members[0].pid
    assert pid is not None
    return pid


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(None))


@asynccontextmanager
async def _task(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def write_report(result: RunResult, folder: Path) -> None:
    """Write `report.json` and `plot.svg`."""
    from tests.endurance.plot import draw

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(result.as_json(), indent=2) + "\n")
    (folder / "plot.svg").write_text(draw(result.record, result.load.results))
