"""Worlds of the SDK experiments: client, hop, gateway, hop, relay; and the same without the gateway."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from app.sandbox import RunningSandbox, SandboxOptions, running_sandbox
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.tables import requests
from tests.gateways import RELAY_KEY, GatewayProcess, gateway_process, new_key, prepare
from tests.servers import PostgresServer
from tests.storm.hops import Hop, hop
from tests.storm.sdks import CallResult, SdkCall, call_all
from tests.storm.shapes import PLACES, Job, Sdk, cutter, faults
from tests.storm.stage import Kind

UNPAUSED = "tests.storm.unpaused"
OPEN_S = 60.0
"""How long what is under way may take to end once every client is gone."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One call: what the relay charged for it, how many POSTs left the client, what came of it.

    `kept`: its picture is in the book, and can be collected, whether the client got it or not.
    """

    job: Job
    charges: int
    posts: int
    failure: str | None
    kept: bool


@dataclass
class World:
    """`front` is what clients are given, `impatient` the proxy before it that cuts. `gateway` is None where there is none."""

    relay: RunningSandbox
    key: str
    known: dict[str, Job]
    front: Hop
    impatient: Hop
    gateway: "Gateway | None" = None
    charged: int = field(default=0)

    async def send(self, jobs: Sequence[Job], rate: float) -> list[Measured]:
        """Every job through its SDK, `rate` of them started each second; returns when the last has ended everywhere."""
        self.known.update({job.marker: job for job in jobs})
        called: dict[str, CallResult] = {}
        sdks = sorted({job.sdk for job in jobs})
        calls: dict[Sdk, list[SdkCall]] = {sdk: [] for sdk in sdks}
        for number, job in enumerate(jobs):
            calls[job.sdk].append(self._call(job, number / rate))
        for done in await asyncio.gather(*(call_all(sdk, self.key, calls[sdk]) for sdk in sdks)):
            called |= done
        kept: set[str] = set()
        if self.gateway is not None:
            await self.gateway.until_nothing_is_open()
            kept = await self.gateway.settled()
        charges = self._charges()
        return [self._measured(job, charges[job.marker], called[job.marker], kept) for job in jobs]

    def _call(self, job: Job, at_s: float) -> SdkCall:
        url = (self.impatient if job.cut else self.front).url
        return SdkCall(job.marker, f"{url}/v1", job.prompt, at_s, job.timeout_s, "png" if job.odd else "jpeg")

    def _charges(self) -> dict[str, list[str]]:
        """The relay's ids of what it charged, by marker; those since the last time it was asked."""
        sandbox = self.relay.sandbox
        prompts = {seen.request_id: seen.fields.get("prompt", "") for seen in sandbox.seen}
        found: dict[str, list[str]] = defaultdict(list)
        for charge in sandbox.bill:
            found[_marker(prompts[charge.request_id])].append(charge.request_id)
        self.charged += len(sandbox.bill)
        sandbox.seen.clear()
        sandbox.bill.clear()
        return found

    def _measured(self, job: Job, charges: list[str], called: CallResult, kept: set[str]) -> Measured:
        first = self.impatient if job.cut else self.front
        posts = first.arrivals[job.marker]
        return Measured(job, len(charges), posts, called.failure, kept=not kept.isdisjoint(charges))


@dataclass
class Gateway:
    """A gateway process and its book."""

    process: GatewayProcess
    database: Database

    async def states(self) -> Counter[str]:
        async with self.database.read() as connection:
            rows = await connection.execute(sa.select(requests.c.state, sa.func.count()).group_by(requests.c.state))
            return Counter({str(state): int(count) for state, count in rows})

    async def settled(self) -> set[str]:
        """The relay's ids of what it has sold us."""
        async with self.database.read() as connection:
            rows = await connection.scalars(
                sa.select(requests.c.upstream_request_id).where(requests.c.state == "settled")
            )
            return {str(id) for id in rows}

    async def until_nothing_is_open(self) -> None:
        """Raises TimeoutError when something stays reserved or dispatched."""
        async with asyncio.timeout(OPEN_S):
            while (states := await self.states())["reserved"] or states["dispatched"]:
                await asyncio.sleep(0.1)

    async def wrong(self, charged: int) -> list[str]:
        """List the differences between the book and the charges of the relay."""
        states = await self.states()
        paid = states["settled"] + states["unknown"]
        found = [] if paid == charged else [f"{charged} charges at the relay, {paid} in the book ({dict(states)})"]
        try:
            await self.process.cli("audit")
        except AssertionError as exc:  # It says why.
            found.append(f"the audit says: {exc}")
        return found


@asynccontextmanager
async def world_with_gateway(folder: Path, kind: Kind, cut_s: float) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        known: dict[str, Job] = {}
        relay = await stack.enter_async_context(running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)))
        back = await stack.enter_async_context(hop(relay.base_url, faults(known, ("relay",))))
        database_url = await stack.enter_async_context(database_of(kind))
        where = DatabaseUrl.of(database_url, folder)
        await prepare(where)
        starting = gateway_process(folder, back.url, database_url=database_url, module=UNPAUSED)
        process = await stack.enter_async_context(starting)
        database = open_database(where)
        stack.push_async_callback(database.close)
        key = (await new_key(database)).key
        front = await stack.enter_async_context(hop(process.url, faults(known, ("client",))))
        impatient = await stack.enter_async_context(hop(front.url, cutter(cut_s)))
        yield World(relay, key, known, front, impatient, Gateway(process, database))


@asynccontextmanager
async def world_without_gateway(cut_s: float) -> AsyncIterator[World]:
    """The clients have the relay's own key and address, as they would without imagegate."""
    known: dict[str, Job] = {}
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(running_sandbox(SandboxOptions(RELAY_KEY, latency_scale=0)))
        front = await stack.enter_async_context(hop(relay.base_url, faults(known, PLACES)))
        impatient = await stack.enter_async_context(hop(front.url, cutter(cut_s)))
        yield World(relay, RELAY_KEY, known, front, impatient)


@asynccontextmanager
async def database_of(kind: Kind) -> AsyncIterator[str | None]:
    """The URL of a new database on a PostgreSQL of its own; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    server = await asyncio.to_thread(PostgresServer().__enter__)
    try:
        yield await server.create_database()
    finally:
        await asyncio.to_thread(server.close)


def _marker(prompt: str) -> str:
    """A prompt as the jobs' are."""
    return next((word for word in prompt.split() if word.startswith("storm-")), "")
