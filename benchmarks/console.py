"""`bench console`: what the pages of the console take over a long book, and the bytes of a first load."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import httpx2
import structlog

from app.console.assets import script, stylesheet
from app.control.invitations import accept_invitation, invite
from app.store.engine import Database, DatabaseUrl
from app.store.tables import refusal_log
from benchmarks.ledger import PEPPER, STRESS, Person
from benchmarks.reports import Timing, filled_book, timed
from benchmarks.results import about_this_run
from benchmarks.rounds import say
from benchmarks.table import aligned
from tests.databases import insert
from tests.gateways import running_gateway
from tests.servers import PostgresServer

FIRST_LOAD_BYTES = 20 * 1024
REFUSALS = 100_000
PAGES = (
    "/overview",
    "/requests",
    "/requests?outcome=unknown",
    "/requests?outcome=booked&model=imagen4&period=7d",
    "/requests?user=user-000000000000000000000007",
    "/requests?person=person+1",
    "/requests?code=rate_limit_exceeded&cost=1000",
    "/requests?outcome=refused&q=nobody+wrote+this",
    "/requests?size=256x256",
    "/usage",
    "/usage?by=user&and=model",
    "/usage?by=key&and=day",
    "/usage.csv?by=key&and=day",
    "/keys",
    "/keys?q=person+7",
    "/people",
    "/people?q=user-7",
    "/projects",
    "/limits",
    "/limits?scope=user",
    "/models",
    "/models/prices?model=gpt-image-1&per_image=1.20",
    "/relays",
    "/alerts",
    "/audit",
    "/audit?event=limit",
    "/settings",
    "/welcome",
    "/account",
    "/sign-in",
)


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(prefix="imagegate-bench-", ignore_cleanup_errors=True) as folder:
        timings = asyncio.run(_measure(given, Path(folder)))
    head = ["page", "database", "p50 ms", "p95 ms", "CPU ms", "bytes", ""]
    rows = [
        [
            each.question,
            each.database,
            *(f"{ms:.0f}" for ms in (each.p50_ms, each.p95_ms, each.cpu_ms)),
            f"{each.answer_bytes:,}",
            "",
        ]
        for each in timings
    ]
    print(f"\n{given.rows:,} requests, {STRESS.keys:,} keys\n{aligned([head, *rows])}")
    if given.json:
        document = about_this_run(given.times) | {"rows": given.rows, "timings": [asdict(timing) for timing in timings]}
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 dev.py bench console", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="requests in the book")
    parser.add_argument("--times", type=int, default=20, help="how often each page is asked for")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append", help="else both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every page")
    return parser


async def _measure(given: argparse.Namespace, folder: Path) -> list[Timing]:
    timings: list[Timing] = []
    kinds = given.database or ["sqlite", "postgresql"]
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(PostgresServer()) if "postgresql" in kinds else None
        for kind in kinds:
            url = await postgres.create_database() if postgres and kind == "postgresql" else None
            home = folder / kind
            home.mkdir()
            where = DatabaseUrl.of(url, home)
            async with filled_book(STRESS, given.rows, where) as (database, people, end_ms):
                await _refuse(database, people, end_ms)
                timings += await _pages(where, home, given.times)
    return timings


async def _refuse(database: Database, people: list[Person], end_ms: int) -> None:
    """Write refusals of a month, one every half minute."""
    rows = [
        {
            "id": f"req_refused{number:016d}",
            "at_ms": end_ms - number * 26_000,
            "last_at_ms": end_ms - number * 26_000,
            "count": 1,
            "api_key_id": (person := people[number * 7 % len(people)]).key_id,
            "user_id": person.user_id,
            "project_id": "proj_default",
            "operation": "generation",
            "model": person.models[0],
            "http_status": 429,
            "error_code": "insufficient_quota",
            "limit": f"monthly spend limit of user {person.user_id}",
            "message": f"The monthly spend limit of user {person.user_id} has 0.00 CNY left of 20.00 CNY.",
        }
        for number in range(REFUSALS)
    ]
    for start in range(0, REFUSALS, 20_000):
        await insert(database, refusal_log, *rows[start : start + 20_000])


async def _pages(where: DatabaseUrl, home: Path, times: int) -> list[Timing]:
    """Time each page over HTTP, as an owner's browser asks for it."""
    timings = []
    async with running_gateway(home, "http://127.0.0.1:9", database_url=where.url or None, pepper=PEPPER) as running:
        await running.limit("everyone", "", "micros", "month", 100_000_000)
        link = await invite(running.database, "owner@example.com", "owner")
        session = await accept_invitation(running.database, link.token, "a long password", "a browser")
        headers = {"Cookie": f"imagegate={session.token}", "Accept-Encoding": "gzip"}
        async with httpx2.AsyncClient(base_url=f"{running.url}/console", headers=headers, timeout=60) as client:
            for path in PAGES:

                async def ask(path: str = path) -> int:
                    async with client.stream("GET", path) as answer:
                        return sum([len(piece) async for piece in answer.aiter_raw()])

                timings.append(await timed(ask, times, STRESS.name, where.dialect, path))
    first = timings[0].answer_bytes + len(stylesheet().compressed) + len(script().compressed)
    say(f"{where.dialect}: a first load has {first:,} bytes of at most {FIRST_LOAD_BYTES:,}, without heads")
    return timings


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
