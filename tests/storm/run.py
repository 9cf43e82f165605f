"""One seed: clients, kills, samples; then the end, the recovery, and the reckoning."""

import asyncio
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import sqlalchemy as sa

from app.control.audit import audit
from app.core.relays import DEFAULT
from app.errors import GatewayError
from app.store.engine import Database, DatabaseUrl, open_database
from app.wiring import Gateway
from tests.storm.answers import answer_violations
from tests.storm.books import (
    Arrival,
    Snapshot,
    Violation,
    bill_violations,
    counter_violations,
    marker_violations,
    read_bill,
    take,
    usage_violations,
)
from tests.storm.client import Client, Try
from tests.storm.epilogue import lost_violations
from tests.storm.erasing import erase, erasure_violations
from tests.storm.fleet import Fleet, make_members
from tests.storm.library import picture_violations
from tests.storm.plan import Call, Kill, Plan, make_plan
from tests.storm.relay_books import relay_violations
from tests.storm.relay_plan import plan_relays
from tests.storm.relays import StormRelay, change_relays, reconcile, register, relay_process
from tests.storm.stage import KEYS, Stage, age_beats, judge, resolve

SAMPLE_S = 0.2
JUDGE_S = 0.7
FALSE_DEATH_SHARE = 0.25
"""How often the judge takes the living for dead, too."""
CALLS_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    processes: int
    kills: int
    requests: int
    without_replay: bool = False
    relays: int | None = None
    """1 or 2; None: as each seed draws."""


@dataclass
class Outcome:
    """Result of a seed, with all that its report needs."""

    seed: str
    plan: Plan
    violations: list[Violation] = field(default_factory=list)
    tries: dict[str, list[Try]] = field(default_factory=dict)
    bill: list[Arrival] = field(default_factory=list)
    book: Snapshot | None = None
    told: list[str] = field(default_factory=list)
    fleet: Fleet | None = None
    deaths: int = 0
    samples: int = 0
    reconciled: int = 0
    """Requests that the relays' logs ended."""
    seconds: float = 0.0

    def states(self) -> Counter[str]:
        return Counter(row["state"] for row in self.book.rows.values()) if self.book else Counter()


async def run_seed(stage: Stage, seed: str, options: Options) -> Outcome:
    """Never raises for what it finds. The folder of a seed with violations stays until the storm is over."""
    start = time.monotonic()
    gateways = options.processes if stage.kind == "postgresql" else 1
    servers = int(stage.kind == "postgresql" and stage.postgres is not None and "TEST_POSTGRES_URL" not in os.environ)
    victims = {"gateway": gateways, "postgres": servers, "redis": servers, "relay": 1}
    relay_plan = plan_relays(seed, options.relays)
    known = [DEFAULT, *([relay_plan.second] if relay_plan.second else [])]
    victims["relay"] = len(known)
    plan = make_plan(seed, options.requests, options.kills, len(KEYS), victims, relay_plan)  # type: ignore[arg-type]
    outcome = Outcome(seed, plan)
    folder = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-", dir=stage.folder))
    async with AsyncExitStack() as stack:
        where = await stack.enter_async_context(stage.installation(folder))
        relays = [await stack.enter_async_context(relay_process(seed, folder, relay)) for relay in known]
        environment = stage.environment(where, relays[0].url)
        members = make_members(folder, gateways, environment)
        if where.path is not None:
            where = _moved(where, members[0].folder)
        database = open_database(where)
        stack.push_async_callback(database.close)
        if relay_plan.second is not None:
            await register(database, relay_plan.second, relays[1].url)
        storm = Storm(stage, options, plan, outcome, folder, where, database, relays)
        storm.fleet = outcome.fleet = Fleet(members, list(plan.crashes), told=outcome.told)
        await storm.run()
        await storm.compare_books()
    outcome.seconds = time.monotonic() - start
    if not outcome.violations:
        shutil.rmtree(folder, ignore_errors=True)
    return outcome


@dataclass
class Storm:
    """The parts of one seed at work."""

    stage: Stage
    options: Options
    plan: Plan
    outcome: Outcome
    folder: Path
    where: DatabaseUrl
    database: Database
    relays: list[StormRelay]
    fleet: Fleet = field(init=False)

    async def run(self) -> None:
        """Run clients, kills and samples until every client has its answer or has given up."""
        gently = random.Random(f"{self.plan.seed}/end").random() < 0.5
        try:
            await self.fleet.start()
            async with AsyncExitStack() as stack:
                if self.stage.kind == "postgresql":
                    there = judge(self.stage, self.where, self.folder / "judge", self.folder, self.relays[0].url)
                    gateway = await stack.enter_async_context(there)
                    stack.push_async_callback(_cancel, asyncio.create_task(self._judge(gateway)))
                sampling = asyncio.create_task(self._sample())
                stack.push_async_callback(_cancel, sampling)
                killing = asyncio.create_task(self._kill_all())
                erasing = asyncio.create_task(self._erase())
                changing = asyncio.create_task(self._change_relays())
                await self._ask_all()
                await killing
                await erasing
                await changing
                await self.fleet.stop(gently=gently)
        finally:
            await self.fleet.stop(gently=False)

    async def compare_books(self) -> None:
        """Recover the rows of dead gateways, then compare the book with the bill."""
        there = judge(self.stage, self.where, self.folder / "heir", self.folder, self.relays[0].url)
        async with there as gateway:
            if self.stage.kind == "postgresql":
                await age_beats(self.database, gateway.recovery.processes.id)
            await resolve(gateway)
            lacking = await picture_violations(gateway)
            calls = [call for call in self.plan.calls if self.stage.keys[call.key].is_erased]
            lacking += await erasure_violations(gateway, calls, self.folder)
            seen, bill, outcome = await take(self.database), self._bill(), self.outcome
            found = [*counter_violations(seen), *usage_violations(seen), *bill_violations(seen, bill), *lacking]
            found += relay_violations(seen, bill)
            steps, unread = await reconcile(gateway, bill)
            after = await take(self.database)
            differences = (await audit(self.database, gateway.zone)).differences
        outcome.bill, outcome.book, outcome.deaths, outcome.reconciled = bill, after, self.fleet.deaths, len(steps)
        ended = [*counter_violations(after), *usage_violations(after), *bill_violations(after, bill)]
        found += [replace(each, what=f"after reconciliation: {each.what}") for each in ended if each not in found]
        found += unread
        if not self.options.without_replay:
            found += marker_violations(bill, self.plan.charges_max)
        found += answer_violations(self.plan.calls, outcome.tries, seen, self.stage.keys)
        found += [Violation(f"the audit says: {difference}") for difference in differences]
        found += [Violation(words) for words in self.fleet.wrong]
        outcome.violations += found or await self._ask_again(seen, bill)

    async def _ask_again(self, seen: Snapshot, bill: list[Arrival]) -> list[Violation]:
        """One gateway comes back; nothing may be bought through it that was bought before."""
        if self.options.without_replay:
            return []
        await self.fleet.revive(0)
        try:
            async with _session() as session:
                there = self.fleet.members[:1]
                client = Client(session, lambda: [member.url for member in there], self._secrets())
                found = await lost_violations(client, self.plan.calls, seen, bill)
        finally:
            await self.fleet.stop(gently=False)
        bought = self._bill()[len(bill) :]
        return [*found, *(Violation(f"bought again: {line}", (line.request_id,), (line.marker,)) for line in bought)]

    async def _ask_all(self) -> None:
        async with _session() as session:
            client = Client(session, self.fleet.urls, self._secrets())
            start = asyncio.get_running_loop().time()

            async def make(call: Call) -> None:
                await asyncio.sleep(start + call.at_s - asyncio.get_running_loop().time())
                tries: list[Try] = []
                self.outcome.tries[call.name] = tries
                await client.make(call, tries)

            async with asyncio.timeout(CALLS_S):
                await asyncio.gather(*(make(call) for call in self.plan.calls))

    async def _erase(self) -> None:
        await asyncio.sleep(self.plan.erases_s)
        async with _session() as session:
            if last := await erase(session, self.fleet.urls, self.stage.admin_key):
                self.outcome.violations.append(Violation(f"no gateway could erase a user; the last answer was {last}"))

    async def _change_relays(self) -> None:
        made = change_relays(self.database, self.plan.relays.changes, self.plan.seconds, self.outcome.told)
        self.outcome.violations += await made

    def _bill(self) -> list[Arrival]:
        """Arrivals at all relays, by time."""
        return sorted((line for relay in self.relays for line in read_bill(relay.bill)), key=lambda line: line.at)

    def _secrets(self) -> list[str]:
        return [key.secret for key in self.stage.keys]

    async def _kill_all(self) -> None:
        """Kill as planned."""
        start = asyncio.get_running_loop().time()
        for kill in self.plan.kills:
            await asyncio.sleep(start + kill.at_s - asyncio.get_running_loop().time())
            await self._kill(kill)

    async def _kill(self, kill: Kill) -> None:
        if kill.victim == "gateway":
            self.fleet.kill(kill.number)
            return
        self.outcome.told.append(f"{time.time():.3f} kill -9 {kill.victim}")
        if kill.victim == "relay":
            os.kill(self.relays[kill.number].pid, signal.SIGUSR1)
        server = self.stage.postgres if kill.victim == "postgres" else self.stage.redis
        if kill.victim != "relay" and server is not None:
            await asyncio.to_thread(server.restart)
        self.outcome.deaths += 1

    async def _judge(self, gateway: Gateway) -> None:
        chance = random.Random(f"{self.plan.seed}/judge")
        while True:
            await asyncio.sleep(JUDGE_S)
            everybody = chance.random() < FALSE_DEATH_SHARE
            started_before = None if everybody else min(member.started_at for member in self.fleet.members)
            with suppress(GatewayError, sa.exc.SQLAlchemyError, OSError):
                await age_beats(self.database, gateway.recovery.processes.id, started_before)
                resolved = await resolve(gateway)
                who = "everybody" if everybody else "the dead"
                self.outcome.told.append(f"{time.time():.3f} the judge resolved {resolved} rows of {who}")

    async def _sample(self) -> None:
        while not self.outcome.violations:
            await asyncio.sleep(SAMPLE_S)
            with suppress(GatewayError, sa.exc.SQLAlchemyError, OSError):
                seen = await take(self.database)
                self.outcome.samples += 1
                self.outcome.violations += [*counter_violations(seen), *usage_violations(seen)]


def _session() -> aiohttp.ClientSession:
    """No limits of its own."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(None))


def _moved(where: DatabaseUrl, folder: Path) -> DatabaseUrl:
    """SQLite's file lies in the folder of its gateway."""
    assert where.path is not None
    where.path.rename(folder / where.path.name)
    return DatabaseUrl.of(None, folder)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
