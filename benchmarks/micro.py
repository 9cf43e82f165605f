"""`bench micro`: the pieces of a request one by one, by the gateway's own classes in this process.

What counts is the processor time of this process; what PostgreSQL and Redis spend is not in it.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from app.api.multipart import FormReader
from app.core import keys
from app.core.request import DEFAULT_RELAY
from app.rates import MemoryRates, MinuteLimit, RateCharge, Rates, open_rates
from app.spool import Spool
from app.store.engine import DatabaseUrl, open_database
from app.store.migrations import upgrade
from app.upstream.skeleton import Skeleton
from benchmarks.scenarios import MIB, request_body
from benchmarks.table import aligned
from benchmarks.upstream import image_answer
from tests.servers import PostgresServer, RedisServer
from tests.store.purchasing import Desk, open_ledger, settlement

CHUNK_BYTES = 64 * 1024
PEPPER = b"a pepper for the benchmarks, long enough"


@dataclass
class Sheet:
    """Measures, and keeps the lines of the table. `effort` scales how often each thing is done."""

    effort: float
    lines: list[list[str]] = field(default_factory=list)

    def measure(self, name: str, do: Callable[[], object], times: int) -> None:
        do()
        began, worked, count = time.perf_counter(), time.process_time(), max(1, round(times * self.effort))
        for _ in range(count):
            do()
        self._note(name, count, began, worked)

    async def measure_async(self, name: str, do: Callable[[], Awaitable[object]], times: int, at_once: int = 1) -> None:
        async def worker(count: int) -> None:
            for _ in range(count):
                await do()

        each = max(1, round(times * self.effort / at_once))
        await worker(1)
        began, worked = time.perf_counter(), time.process_time()
        await asyncio.gather(*(worker(each) for _ in range(at_once)))
        self._note(f"{name}, {at_once} at once" if at_once > 1 else name, each * at_once, began, worked)

    def _note(self, name: str, count: int, began: float, worked: float) -> None:
        worked_us, taken_us = (time.process_time() - worked) * 1e6 / count, (time.perf_counter() - began) * 1e6 / count
        self.lines.append([name, _number(worked_us), _number(taken_us), f"{count:,}", ""])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 dev.py bench micro", description=__doc__)
    parser.add_argument(
        "--effort", type=float, default=1.0, help="how often each thing is done, as a share of the usual"
    )
    sheet = Sheet(parser.parse_args(arguments).effort)
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-", ignore_cleanup_errors=True) as folder:
        uvloop.run(_measure(sheet, Path(folder)))
    print(aligned([["", "CPU us", "wall us", "times", ""], *sheet.lines]))
    return 0


async def _measure(sheet: Sheet, folder: Path) -> None:
    _pure(sheet, folder)
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer(os.environ.get("TEST_REDIS_URL")))
        postgres = stack.enter_context(PostgresServer(os.environ.get("TEST_POSTGRES_URL")))
        await _rates(sheet, "rates in memory", MemoryRates(), 20_000)
        await _rates(sheet, "rates in Redis", open_rates(redis.url), 4_000)
        await _purchases(sheet, "SQLite", DatabaseUrl.of(None, folder), 4_000)
        url = await postgres.create_database()
        stack.push_async_callback(postgres.drop_database, url)
        await _purchases(sheet, "PostgreSQL", DatabaseUrl("postgresql", url=url), 2_000)


def _pure(sheet: Sheet, folder: Path) -> None:
    key = keys.new_key()
    stored = keys.secret_hmac(PEPPER, key.secret)
    sheet.measure("key check", lambda: keys.key_id(key.secret) and keys.matches(PEPPER, key.secret, stored), 50_000)
    answer = _chunks(image_answer(2 * MIB))
    sheet.measure("skeleton of a 2 MiB image", lambda: _read_skeleton(answer), 300)
    kind, body = request_body(edits=True)
    boundary, form = kind.rpartition("=")[2].encode(), _chunks(body)
    sheet.measure("multipart of 4 x 2.5 MB, spooled", lambda: _read_form(boundary, form, folder), 20)


def _read_skeleton(chunks: list[bytes]) -> object:
    skeleton = Skeleton()
    for chunk in chunks:
        skeleton.feed(chunk)
    return skeleton.document()


def _read_form(boundary: bytes, chunks: list[bytes], folder: Path) -> None:
    spool = Spool(folder)
    reader = FormReader(boundary, spool, file_bytes_max=10_000_000, files_max=16, fields_max=64)
    for chunk in chunks:
        reader.feed(chunk)
    reader.finish()
    spool.close()


async def _rates(sheet: Sheet, name: str, rates: Rates, times: int) -> None:
    charges = [RateCharge(MinuteLimit(f"lim:{unit}", "a limit", unit, 10**9), 1) for unit in ("requests", "images")]
    for at_once in (1, 64):
        await sheet.measure_async(name, lambda: rates.spend(charges), times, at_once)
    await rates.close()


async def _purchases(sheet: Sheet, name: str, where: DatabaseUrl, times: int) -> None:
    """Reserve, mark and settle, on three limits: of the user, of the user and a model, of the organization."""
    database = open_database(where)
    await upgrade(database)
    async with open_ledger(database) as ledger:
        await _buy(sheet, name, Desk(database, ledger), times)
    await database.close()


async def _buy(sheet: Sheet, name: str, desk: Desk, times: int) -> None:
    limits = [
        await desk.limit("micros", 10**15),
        await desk.limit("images", 10**15, model="gpt-image-1"),
        await desk.limit("micros", 10**15, scope="organization"),
    ]
    booked = settlement(cost_micros=7, images=1)

    async def buy() -> None:
        order = await desk.order(*limits)
        await desk.ledger.reserve(order)
        assert await desk.ledger.dispatch(order.request_id, order.owner, order.reserved_at_ms, DEFAULT_RELAY)
        assert await desk.ledger.settle(order.request_id, booked) is not None

    for at_once in (1, 64):
        await sheet.measure_async(f"reserve, mark and settle, {name}", buy, times, at_once)


def _chunks(data: bytes) -> list[bytes]:
    return [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
