"""Relays of a storm: one or two processes with bills of their own, and the administrator who changes them in the middle."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from app.control.matching import LATE_MS
from app.control.reconciliation import ReconciliationStep
from app.control.relay_keys import seal_relay_key
from app.core.relays import Relay
from app.errors import GatewayError
from app.store.engine import Database
from app.store.relays import find_relay, insert_relay, update_relay
from app.wiring import Gateway
from tests.gateways import PEPPER, RELAY_KEY
from tests.storm.books import Arrival, Violation
from tests.storm.relay_plan import RelayChange
from tests.storm.upstream import MICROS_PER_DOLLAR

PAUSE_S = 0.1
TRIES_MAX = 100
START_S = 20


@dataclass(frozen=True, slots=True)
class StormRelay:
    """Running relay, and the file of its bill."""

    name: str
    url: str
    pid: int
    bill: Path
    orders: asyncio.StreamWriter

    def order(self, word: str) -> None:
        """Put it into a mood of `tests.storm.moods`, or give another order that `tests.storm.upstream` knows."""
        self.orders.write(word.encode() + b"\n")


@asynccontextmanager
async def relay_process(seed: str, folder: Path, relay: Relay, *, calm: bool = False) -> AsyncIterator[StormRelay]:
    """Run a relay whose bill lies in `folder`."""
    bill = folder / f"bill-{relay.name}"
    arguments = ["--seed", f"{seed}/{relay.name}", "--bill", str(bill), "--name", relay.name]
    arguments += ["--price-factor", str(relay.price_factor)]
    arguments += ["--micros-per-dollar", str(relay.micros_per_dollar or MICROS_PER_DOLLAR)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.storm.upstream",
        *arguments,
        *(["--calm"] if calm else []),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        async with asyncio.timeout(START_S):
            port = int(await process.stdout.readline())
        yield StormRelay(relay.name, f"http://127.0.0.1:{port}", process.pid, bill, process.stdin)
    finally:
        process.kill()
        await process.wait()


async def register(database: Database, relay: Relay, url: str) -> None:
    """Put a relay into the database, with a key of its own."""
    key = seal_relay_key(PEPPER, relay.name, f"{RELAY_KEY}-{relay.name}")
    async with database.write() as connection:
        await insert_relay(connection, replace(relay, base_url=url, sealed_key=key))


async def change_relays(
    database: Database, changes: Iterable[RelayChange], seconds: float, told: list[str]
) -> list[Violation]:
    """Make each change at its time, again and again while the database is away."""
    start = asyncio.get_running_loop().time()
    for change in changes:
        await asyncio.sleep(start + change.at * seconds - asyncio.get_running_loop().time())
        for _ in range(TRIES_MAX):
            try:
                await _change(database, change)
                break
            except (GatewayError, sa.exc.SQLAlchemyError, OSError):
                await asyncio.sleep(PAUSE_S)
        else:
            return [Violation(f"nobody could {change.action} the relay {change.relay}")]
        told.append(f"{time.time():.3f} relay {change.relay}: {change.action}")
    return []


async def _change(database: Database, change: RelayChange) -> None:
    async with database.write() as connection:
        relay = await find_relay(connection, change.relay)
        assert relay is not None
        await update_relay(connection, change.apply(relay, int(time.time() * 1000)))


async def reconcile(gateway: Gateway, bill: Iterable[Arrival]) -> tuple[list[ReconciliationStep], list[Violation]]:
    """Compare the book with the logs of the relays, as if all was sent long ago. One that charged must show its log."""
    charged = {line.relay for line in bill if line.charged}
    every = gateway.reconciliations
    bills = replace(every.bills, rules=replace(every.bills.rules, deadline_ms=-LATE_MS))
    for relay in await every.relays():  # The first question may meet a connection of before the relay was killed.
        await bills.read(relay)
    reports = await replace(every, bills=bills).run()
    found = [
        Violation(f"the log of the relay {report.relay} could not be read: {report.accounts.missing}")
        for report in reports
        if report.accounts.log is None and report.relay in charged
    ]
    left_out = charged - {report.relay for report in reports}
    found += [Violation(f"the book was not compared with the log of the relay {name}") for name in left_out]
    return [step for report in reports for step in report.steps], found
