"""`bench backup`: what a long book on SQLite takes to upgrade and to back up, and what its writer notices of a backup.

The book is made at the first schema and upgraded over every migration. Then requests are reserved, dispatched and settled at a
steady rate, alone and beside `imagegate backup` in a process of its own; a commit's time is from the call to its answer.
"""

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from alembic import command

from app.control.upgrade import upgrade_with_copy
from app.store import migrations
from app.store.engine import SQLITE_FILE, Database, DatabaseUrl, open_database
from benchmarks.results import about_this_run
from benchmarks.rounds import say
from tests.store.purchasing import Desk, open_ledger, settlement

_ROWS = """
    INSERT INTO requests (id, state, owner, api_key_id, user_id, project_id, operation, model, n, size, stream, prompt_chars,
                          prompt_hmac, counter_ids, quote_micros, cost_micros, images, http_status, upstream_request_id,
                          reserved_at_ms, dispatched_at_ms, ended_at_ms, upstream_ms)
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    SELECT printf('req_%028x', n), 'settled', 'proc_1', 'key_' || (n % 60), 'user-' || (n % 50), 'proj_default', 'generation',
           'gpt-image-1', 1, '1024x1024', 0, 80, randomblob(32), '[]', 1000000, 1000000, 1, 200, hex(randomblob(16)),
           1790000000000 + n * 2600, 1790000000010 + n * 2600, 1790000020000 + n * 2600, 20000 FROM numbers"""
_USAGE = """
    INSERT INTO usage SELECT reserved_at_ms / 3600000 * 3600000, date(reserved_at_ms / 1000, 'unixepoch'), project_id, user_id,
        api_key_id, model, operation, size, '', count(*), sum(images), sum(cost_micros), 0, 0 FROM requests
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"""


@dataclass(frozen=True, slots=True)
class BackupTimes:
    """Times of a run: in seconds, and of the commits of requests in ms, alone and beside a backup."""

    rows: int
    book_bytes: int
    upgrade_s: float
    backup_s: float
    alone_p50_ms: float
    alone_p99_ms: float
    beside_p50_ms: float
    beside_p99_ms: float
    beside_max_ms: float


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python3 dev.py bench backup", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests in the book")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of requests before the backup")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-") as folder:
        found = asyncio.run(_measure(given, Path(folder)))
    document = about_this_run(1) | asdict(found)
    print(json.dumps(document, indent=1))
    if given.json:
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


async def _measure(given: argparse.Namespace, folder: Path) -> BackupTimes:
    database = open_database(DatabaseUrl.of(None, folder))
    async with database.rebuild() as connection:
        await connection.run_sync(lambda sync: command.upgrade(migrations._config(connection=sync), "0001"))
    with closing(sqlite3.connect(folder / SQLITE_FILE)) as db, db:
        db.execute(_ROWS, (given.rows,))
        db.execute(_USAGE)
    say(f"{given.rows:,} requests at the first schema: {(folder / SQLITE_FILE).stat().st_size / 2**20:.0f} MiB")
    started_s = time.monotonic()
    state, _ = await upgrade_with_copy(database)
    upgrade_s = time.monotonic() - started_s
    say(f"upgraded to {state.current} in {upgrade_s:.1f} s, with its copy")
    alone, beside, backup_s = await _beside_requests(database, given, folder)
    size = (folder / SQLITE_FILE).stat().st_size
    await database.close()
    times = (upgrade_s, backup_s, _ms(alone, 50), _ms(alone, 99), _ms(beside, 50), _ms(beside, 99), _ms(beside, 100))
    return BackupTimes(given.rows, size, *(round(each, 1) for each in times))


async def _beside_requests(
    database: Database, given: argparse.Namespace, folder: Path
) -> tuple[list[float], list[float], float]:
    """Return the times of commits (s) alone and beside a backup, and how long that took (s)."""
    times: list[float] = []
    async with open_ledger(database) as ledger:
        desk = Desk(database, ledger)
        spend = await desk.limit("micros", 10**15)
        ended = asyncio.Event()
        driving = asyncio.create_task(_drive(desk, spend, given.rate, times, ended))
        await asyncio.sleep(given.seconds)
        alone = times.copy()
        times.clear()
        started_s = time.monotonic()
        environment = {**os.environ, "IMAGEGATE_DATA_DIR": str(folder)}
        backup = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("imagegate"), "backup", folder / "copy.db", env=environment, cwd=folder
        )
        if await backup.wait():
            sys.exit("the backup failed")
        backup_s = time.monotonic() - started_s
        ended.set()
        await driving
    shutil.rmtree(folder / "pictures")
    return alone, times, backup_s


async def _drive(desk: Desk, spend: Any, rate: float, times: list[float], ended: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as running:
        next_s, number = time.monotonic(), 0
        while not ended.is_set():
            number += 1
            running.create_task(_buy(desk, spend, f"req_bench{number:019d}", times))
            next_s += 1 / rate
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))


async def _buy(desk: Desk, spend: Any, request_id: str, times: list[float]) -> None:
    order = replace(await desk.order(spend), request_id=request_id)
    for commit in (
        lambda: desk.ledger.reserve(order),
        lambda: desk.ledger.dispatch(order.request_id, order.owner, order.reserved_at_ms, "default"),
        lambda: desk.ledger.settle(order.request_id, settlement()),
    ):
        started_s = time.monotonic()
        await commit()
        times.append(time.monotonic() - started_s)


def _ms(times: list[float], percent: int) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000
