"""`bench pictures`: what lists, searches, prunes and starts take with many kept pictures.

Lists are asked over HTTP of a gateway in this process, by a key, by an administrator and by an owner in the console. The prune
removes rows and files.
"""

import argparse
import asyncio
import json
import logging
import math
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import sqlalchemy as sa
import structlog

from app.control.admin_keys import NewAdminKey, create_admin_key
from app.control.sessions import start_session
from app.core.intervals import DAY_MS
from app.core.word_bits import word_bits
from app.memory import tune_garbage_collector
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.migrations import upgrade
from app.store.tables import pictures, requests, users
from app.store.tables.pictures import WORD_COLUMNS
from benchmarks.ledger import MODELS, PEPPER, TEAM, Person, fill
from benchmarks.results import about_this_run
from benchmarks.rounds import say
from benchmarks.table import aligned
from tests.gateways import Running, running_gateway
from tests.servers import PostgresServer

OWN, ALL, PAGE = "/v1/images/pictures", "/v1/organization/pictures", "/console/pictures"
WORDS = [
    a + b
    for a in ("ka", "lo", "mi", "ne", "po", "ru", "sa", "ti", "vu", "ze")
    for b in ("bra", "den", "fil", "gor", "han", "jul")
]
RARE, ABSENT = "lighthouse", "zeppelin"
RARE_EVERY = 5_000
STARTS = 5
BATCH = 5_000


@dataclass(frozen=True, slots=True)
class PictureTiming:
    """One question, asked again and again, or one piece of work. `cpu_ms` is of this process, in which SQLite works, too."""

    database: str
    question: str
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    pictures: int


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    tune_garbage_collector()  # As the server does.
    with TemporaryDirectory(prefix="imagegate-bench-", ignore_cleanup_errors=True) as folder:
        timings = asyncio.run(_measure(given, Path(folder)))
    if given.json:
        document = about_this_run(given.times) | {"rows": given.rows, "timings": [asdict(each) for each in timings]}
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 dev.py bench pictures", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="kept pictures")
    parser.add_argument("--times", type=int, default=20, help="how often each list is asked for")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append", help="else both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every figure")
    return parser


async def _measure(given: argparse.Namespace, folder: Path) -> list[PictureTiming]:
    timings: list[PictureTiming] = []
    kinds = given.database or ["sqlite", "postgresql"]
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(PostgresServer()) if "postgresql" in kinds else None
        for kind in kinds:
            url = await postgres.create_database() if postgres and kind == "postgresql" else None
            home = folder / kind
            home.mkdir()
            found = await _measure_database(given, kind, url, home)
            print(f"\n{given.rows:,} pictures, {kind}\n{_table(found)}", flush=True)
            timings += found
    return timings


async def _measure_database(given: argparse.Namespace, kind: str, url: str | None, home: Path) -> list[PictureTiming]:
    where = DatabaseUrl.of(url, home)
    database = open_database(where, statement_timeout_s=600.0)
    await upgrade(database)
    now_ms = await database.now_ms()
    people = await fill(database, TEAM, given.rows, now_ms // DAY_MS * DAY_MS)
    timings = [await _starts(kind, url, home, "a start without pictures", 0)]
    await _keep(database, home / "pictures", now_ms)
    timings.append(await _starts(kind, url, home, "a start", given.rows))
    async with _running(home, url) as running:
        say(f"{kind}: asking for lists")
        timings += await _lists(running, people[0], given.times, kind)
        timings += await _prunes(running, database, kind)
    await database.close()
    return timings


@asynccontextmanager
async def _running(home: Path, url: str | None) -> AsyncIterator[Running]:
    """Run a gateway that neither limits calls nor removes pictures."""
    many: Any = {"guard_own_per_minute": 10**6, "guard_admin_per_minute": 10**6, "pictures_bytes_max": 10**15}
    async with running_gateway(home, "http://127.0.0.1:9", database_url=url, pepper=PEPPER, **many) as running:
        yield running


async def _starts(kind: str, url: str | None, home: Path, name: str, rows: int) -> PictureTiming:
    taken_ms, worked_ms = [], []
    for _ in range(STARTS):
        began, worked = time.perf_counter(), time.process_time()
        async with _running(home, url):
            taken_ms.append((time.perf_counter() - began) * 1000)
            worked_ms.append((time.process_time() - worked) * 1000)
    return _timing(kind, name, taken_ms, worked_ms, rows)


async def _keep(database: Database, folder: Path, now_ms: int) -> None:
    """Give every request a prompt and a kept picture, with a small file of its own."""
    chance = random.Random(1)
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    async with database.read() as connection:
        found = (await connection.execute(sa.select(requests).order_by(requests.c.id))).mappings().all()
    prompt = sa.update(requests).where(requests.c.id == sa.bindparam("of")).values(prompt=sa.bindparam("text"))
    for first in range(0, len(found), BATCH):
        batch = list(enumerate(found[first : first + BATCH], first))
        async with database.transaction() as connection:
            texts = [{"of": row["id"], "text": _prompt(chance, number)} for number, row in batch]
            await connection.execute(prompt, texts)
            kept = [
                _row(row, number, now_ms) | dict(zip(WORD_COLUMNS, word_bits(text["text"]), strict=True))
                for (number, row), text in zip(batch, texts, strict=True)
            ]
            await connection.execute(sa.insert(pictures), kept)
        await asyncio.to_thread(_write, folder, [f"{number:064x}" for number, _ in batch])
    async with database.transaction() as connection:
        await connection.execute(sa.text("ANALYZE"))
    say(f"{len(found):,} pictures are kept")


def _prompt(chance: random.Random, number: int) -> str:
    words = chance.choices(WORDS, k=60)
    return " ".join([*words, RARE] if number % RARE_EVERY == 0 else words)


def _row(request: sa.RowMapping, number: int, now_ms: int) -> dict[str, Any]:
    return {
        "id": f"{request['id']}_0",
        "request_id": request["id"],
        "index": 0,
        "user_id": request["user_id"],
        "project_id": request["project_id"],
        "model": request["model"],
        "digest": f"{number:064x}",
        "media_type": "image/png",
        "bytes": 1_500_000,
        "c2pa": 0,
        "visibility": "project" if number % 10 == 0 else "private",
        "created_at_ms": request["ended_at_ms"],
        "kept_until_ms": now_ms + 30 * DAY_MS,
    }


def _write(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).write_bytes(b"a picture")


async def _lists(running: Running, person: Person, times: int, kind: str) -> list[PictureTiming]:
    admin = (await create_admin_key(running.database, PEPPER, NewAdminKey("bench"))).key
    proofs = {
        OWN: {"Authorization": f"Bearer {person.key}"},
        ALL: {"Authorization": f"Bearer {admin}"},
        PAGE: {"Cookie": f"imagegate={await _token(running.database, person)}"},
    }
    timings = []
    async with httpx2.AsyncClient(base_url=running.url, timeout=60) as client:
        for name, path, query in _questions():
            headers = proofs[path]
            taken_ms, worked_ms, rows = [], [], 0
            for _ in range(times):
                began, worked = time.perf_counter(), time.process_time()
                answer = await client.get(path, params=query, headers=headers)
                taken_ms.append((time.perf_counter() - began) * 1000)
                worked_ms.append((time.process_time() - worked) * 1000)
                assert answer.status_code == 200, answer.text
                rows = answer.text.count('class="shot"') if path == PAGE else len(answer.json()["data"])
            timings.append(_timing(kind, name, taken_ms, worked_ms, rows))
    return timings


async def _token(database: Database, person: Person) -> str:
    """Sign a person in as an owner; returns the cookie's value."""
    now_ms = await database.now_ms()
    async with database.transaction() as connection:
        await connection.execute(sa.update(users).where(users.c.id == person.user_id).values(access_role="owner"))
        return (await start_session(connection, person.user_id, "bench", now_ms)).token


def _questions() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, path and query of each list."""
    for who, path in (("own", OWN), ("all", ALL)):
        yield f"{who}", path, {}
        yield f"{who}, 100 of them", path, {"limit": 100}
        yield f"{who}, of a model", path, {"model": "imagen4"}
        yield f"{who}, of no model", path, {"model": "none"}
        yield f"{who}, shared", path, {"shared": "true"}
        yield f"{who}, a frequent word", path, {"words": WORDS[0]}
        yield f"{who}, two words", path, {"words": f"{WORDS[0]} {WORDS[1]}"}
        yield f"{who}, a rare word", path, {"words": RARE}
        yield f"{who}, an absent word", path, {"words": ABSENT}
    for whose in ("mine", "shared", "all"):
        yield f"page, {whose}", PAGE, {"of": whose}
        yield f"page, {whose}, a rare word", PAGE, {"of": whose, "q": RARE}
    for whose in ("shared", "all"):
        yield f"page, {whose}, of a person", PAGE, {"of": whose, "person": "person 3"}
        yield f"page, {whose}, of no model", PAGE, {"of": whose, "model": "none"}
    yield "all, of a user", ALL, {"user": "person 3"}
    yield "all, of a project", ALL, {"project": "default"}
    yield "all, of a user and a rare word", ALL, {"user": "person 3", "words": RARE}
    yield "all, of a day", ALL, {"since": int(time.time()) - 10 * 86_400, "until": int(time.time()) - 9 * 86_400}


async def _prunes(running: Running, database: Database, kind: str) -> list[PictureTiming]:
    library = running.gateway.library
    timings = []
    began, worked = time.perf_counter(), time.process_time()
    await library.due()
    timings.append(_since(kind, "prune --dry-run", began, worked, 0))
    async with database.transaction() as connection:
        half = sa.update(pictures).where(pictures.c.model.in_(MODELS[:2]))
        await connection.execute(half.values(kept_until_ms=1))
    for name, bytes_max in (("prune by age", library.bytes_max), ("prune by bytes", 1)):
        object.__setattr__(library, "bytes_max", bytes_max)
        began, worked = time.perf_counter(), time.process_time()
        gone = await library.prune()
        timings.append(_since(kind, name, began, worked, gone.pictures))
    return timings


def _since(kind: str, name: str, began: float, worked: float, rows: int) -> PictureTiming:
    taken_ms, worked_ms = (time.perf_counter() - began) * 1000, (time.process_time() - worked) * 1000
    return _timing(kind, name, [taken_ms], [worked_ms], rows)


def _timing(kind: str, name: str, taken_ms: list[float], worked_ms: list[float], rows: int) -> PictureTiming:
    p95_ms = sorted(taken_ms)[math.ceil(len(taken_ms) * 0.95) - 1]
    return PictureTiming(kind, name, statistics.median(taken_ms), p95_ms, statistics.median(worked_ms), rows)


def _table(timings: list[PictureTiming]) -> str:
    lines = [["", "p50 ms", "p95 ms", "CPU ms", "pictures", ""]]
    lines += [
        [each.question, f"{each.p50_ms:.1f}", f"{each.p95_ms:.1f}", f"{each.cpu_ms:.1f}", f"{each.pictures:,}", ""]
        for each in timings
    ]
    return aligned(lines)
