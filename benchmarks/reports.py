"""`bench reports`: what every question about usage and costs takes over a month of a long book, and `GET /v1/key`.

Asked of a gateway's own code in this process, without HTTP: the query, and the answer down to its bytes.
"""

import argparse
import asyncio
import json
import logging
import math
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any, get_args

import httpx2
import structlog

from app.api.organization.usage_answers import costs_answer, images_answer
from app.api.organization.usage_queries import BUCKETS, CostsField, CostsQuery, ImagesField, ImagesQuery
from app.control.audit import audit
from app.control.buckets import Width
from app.core.intervals import DAY_MS
from app.memory import tune_garbage_collector
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.migrations import upgrade
from benchmarks.ledger import DAYS, PEPPER, STRESS, TEAM, ZONE, Crowd, Person, fill
from benchmarks.results import about_this_run
from benchmarks.rounds import say
from benchmarks.table import aligned
from tests.gateways import running_gateway
from tests.servers import PostgresServer

Ask = Callable[[], Awaitable[int]]
"""Asks once; how many bytes came back."""
WIDTHS: tuple[Width, ...] = ("1d", "1h", "1m")


@dataclass(frozen=True, slots=True)
class Timing:
    """One question, asked again and again. `cpu_ms` is of this process; with SQLite that is all there is, on a busy machine too."""

    book: str
    database: str
    question: str
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    answer_bytes: int


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    tune_garbage_collector()  # As the server does.
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-", ignore_cleanup_errors=True) as folder:
        timings = asyncio.run(_measure(given, Path(folder)))
    for book, database in dict.fromkeys((timing.book, timing.database) for timing in timings):
        own = [timing for timing in timings if (timing.book, timing.database) == (book, database)]
        print(f"\n{book}, {given.rows:,} requests, {database}\n{_table(own, given.all)}")
    if given.json:
        document = about_this_run(given.times) | {"rows": given.rows, "timings": [asdict(timing) for timing in timings]}
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 dev.py bench reports", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests in the book")
    parser.add_argument("--times", type=int, default=20, help="how often each question is asked")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append", help="else both")
    parser.add_argument(
        "--book", choices=("team", "stress"), action="append", help="50 users, or 1,000 keys; else both"
    )
    parser.add_argument("--all", action="store_true", help="print every combination of fields, not only the slowest")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every question")
    return parser


async def _measure(given: argparse.Namespace, folder: Path) -> list[Timing]:
    timings: list[Timing] = []
    kinds, books = given.database or ["sqlite", "postgresql"], given.book or ["team", "stress"]
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(PostgresServer()) if "postgresql" in kinds else None
        for crowd in [{"team": TEAM, "stress": STRESS}[book] for book in books]:
            for kind in kinds:
                url = await postgres.create_database() if postgres and kind == "postgresql" else None
                home = folder / f"{kind}-{crowd.keys}"
                home.mkdir()
                timings += await _measure_book(crowd, given, DatabaseUrl.of(url, home), home)
    return timings


async def _measure_book(crowd: Crowd, given: argparse.Namespace, where: DatabaseUrl, home: Path) -> list[Timing]:
    async with filled_book(crowd, given.rows, where) as (database, people, end_ms):
        timings = []
        for name, ask in _questions(database, end_ms).items():
            timings.append(await timed(ask, given.times, crowd.name, where.dialect, name))
        say(f"{crowd.name}, {where.dialect}: {len(timings)} questions asked")
    timings.append(await _own_key(people[0], crowd, where, home))
    return timings


@asynccontextmanager
async def filled_book(crowd: Crowd, rows: int, where: DatabaseUrl) -> AsyncIterator[tuple[Database, list[Person], int]]:
    """Filled and audited; where the month ends, at a midnight of UTC."""
    database = open_database(where)
    try:
        await upgrade(database)
        end_ms = await database.now_ms() // DAY_MS * DAY_MS
        people = await fill(database, crowd, rows, end_ms)
        auditing = open_database(where, statement_timeout_s=600.0)
        found = await audit(auditing, ZONE)
        await auditing.close()
        say(f"the audit looked at {found.looked_at}; {len(found.differences)} differences")
        yield database, people, end_ms
    finally:
        await database.close()


def _questions(database: Database, end_ms: int) -> dict[str, Ask]:
    """Every combination of fields to group by, in buckets of every width: as many as one answer may have."""
    start_s, end_s = end_ms // 1000 - DAYS * DAY_MS // 1000, end_ms // 1000
    asks: dict[str, Ask] = {}
    for width in WIDTHS:
        most = BUCKETS[width][1]
        for by in _combinations(get_args(ImagesField) if width != "1m" else ()):
            query = ImagesQuery(start_time=start_s, end_time=end_s, bucket_width=width, group_by=by, limit=most)
            asks[f"images {width} by {_words(by)}"] = _images(database, query)
    for by in _combinations(get_args(CostsField)):
        costs = CostsQuery(start_time=start_s, end_time=end_s, group_by=by, limit=DAYS)
        asks[f"costs by {_words(by)}"] = _costs(database, costs)
    return asks


def _images(database: Database, query: ImagesQuery) -> Ask:
    async def ask() -> int:
        return len((await images_answer(database, query)).body)

    return ask


def _costs(database: Database, query: CostsQuery) -> Ask:
    async def ask() -> int:
        return len((await costs_answer(database, query, "CNY")).body)

    return ask


async def _own_key(person: Person, crowd: Crowd, where: DatabaseUrl, home: Path) -> Timing:
    """Time `GET /v1/key` over HTTP, of a running gateway."""
    database_url = where.url or None
    async with (
        running_gateway(home, "http://127.0.0.1:9", database_url=database_url, pepper=PEPPER) as running,
        httpx2.AsyncClient(base_url=running.url, headers={"Authorization": f"Bearer {person.key}"}) as client,
    ):

        async def ask() -> int:
            answer = await client.get("/v1/key")
            assert answer.status_code == 200, answer.text
            return len(answer.content)

        return await timed(ask, 100, crowd.name, where.dialect, "GET /v1/key")


async def timed(ask: Ask, times: int, book: str, database: str, question: str) -> Timing:
    size, taken_ms, worked_ms = await ask(), [], []
    for _ in range(times):
        began, worked = time.perf_counter(), time.process_time()
        await ask()
        worked_ms.append((time.process_time() - worked) * 1000)
        taken_ms.append((time.perf_counter() - began) * 1000)
    p50_ms, p95_ms = statistics.median(taken_ms), sorted(taken_ms)[math.ceil(times * 0.95) - 1]
    return Timing(book, database, question, p50_ms, p95_ms, statistics.median(worked_ms), size)


def _table(timings: list[Timing], everything: bool) -> str:
    """The ones most asked, and the slowest of each kind with as many fields."""
    slowest: dict[str, Timing] = {}
    for timing in timings:
        kind, _, by = timing.question.partition(" by ")
        fields = by.count("+") + 1 if by != "nothing" else 0
        group = timing.question if everything else f"{kind}, {fields} fields"
        if group not in slowest or slowest[group].p95_ms < timing.p95_ms:
            slowest[group] = timing
    head = ["the slowest of its kind", "p50 ms", "p95 ms", "CPU ms", "KB", ""]
    return aligned([head, *(_cells(timing) for timing in slowest.values())])


def _cells(timing: Timing) -> list[str]:
    times = [f"{value:.0f}" for value in (timing.p50_ms, timing.p95_ms, timing.cpu_ms)]
    return [timing.question, *times, f"{timing.answer_bytes // 1000:,}", ""]


def _combinations(fields: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return list(chain.from_iterable(combinations(fields, count) for count in range(len(fields) + 1)))


def _words(by: tuple[str, ...]) -> str:
    return "+".join(by) or "nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
