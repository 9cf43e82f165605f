"""A long book, made in bulk: people, keys, and as many settled requests as wanted, with caches that `imagegate audit` accepts."""

import json
import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import asyncpg

from app.control.keys import KeyFacts, add_key
from app.control.limits import LimitChange, ScopeRef, set_limits
from app.control.projects import DEFAULT_PROJECT, get_active_project
from app.core.intervals import DAY_MS, bounds_ms, hour_start_ms, local_day
from app.settings import Settings
from app.store.engine import Database
from app.store.organization import User, insert_user
from benchmarks.rounds import say

DAYS = 31
PEPPER = b"a pepper for the benchmarks, long enough"
ZONE = Settings(_env_file=None).zone
MODELS = ("gpt-image-1", "seedream-3.0", "flux-kontext-pro", "flux-kontext-max", "imagen4")
SIZES = ("1024x1024", "1536x1024", "")
BATCH = 50_000
_LIMIT = 1


@dataclass(frozen=True, slots=True)
class Crowd:
    """Number of people, and of their keys together."""

    name: str
    users: int
    keys: int


TEAM = Crowd("a team", 50, 60)
STRESS = Crowd("a company", 900, 1000)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody's key and habits: two models, mostly the first; two sizes, mostly the first."""

    user_id: str
    key_id: str
    key: str
    models: tuple[str, str]
    sizes: tuple[str, str]


@dataclass
class Ledger:
    """The rows of a month of requests that ends at `end_ms`, and what they add up to, once they have been drawn."""

    people: list[Person]
    rows_wanted: int
    counter_ids: dict[int, int]
    start_ms: int
    seed: int = 1
    usage: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)

    def requests(self) -> Iterator[tuple[Any, ...]]:
        """Yield requests by time, evenly over the days and unevenly over the people: a fifth of them makes half of all requests."""
        chance = random.Random(self.seed)
        step_ms = DAYS * DAY_MS / self.rows_wanted
        hour, day, counter_id = -1, "", 0
        for number in range(self.rows_wanted):
            at_ms = int(self.start_ms + number * step_ms)
            if hour != (hour := hour_start_ms(at_ms)):
                day, counter_id = local_day(hour, ZONE), self.counter_ids[bounds_ms("month", hour, ZONE)[0]]
            draw = chance.random()
            person = self.people[int(draw**2.3 * len(self.people))]
            low = number * 2_654_435_761 & 0xFFFF
            model, size = person.models[low & 7 == 0], person.sizes[low & 0x78 == 0]
            operation = "edit" if low & 0x380 == 0 else "generation"
            cost = 80_000 + 40_000 * (low & 3)
            self._add((hour, day, person.user_id, person.key_id, model, operation, size), cost, counter_id)
            yield (
                f"req_{number:024d}", "settled", "proc_benchmark", person.key_id, person.user_id, "proj_default",
                operation, model, 1, size or None, None, 0, 20, counter_id, cost, cost, 1, 200, at_ms, at_ms, at_ms + 9_000,
            )  # fmt: skip

    def _add(self, key: tuple[Any, ...], cost: int, counter_id: int) -> None:
        sums = self.usage.get(key)
        if sums is None:
            sums = self.usage[key] = [0, 0]
        sums[0] += 1
        sums[1] += cost
        self.spent[counter_id] = self.spent.get(counter_id, 0) + cost

    def usage_rows(self) -> Iterator[tuple[Any, ...]]:
        for (hour, day, user_id, key_id, model, operation, size), (count, cost) in sorted(self.usage.items()):
            key = (hour, day, "proj_default", user_id, key_id, model, operation, size, "")
            yield (*key, count, count, cost, 0, 0)


REQUEST_COLUMNS = (
    "id", "state", "owner", "api_key_id", "user_id", "project_id", "operation", "model", "n", "size", "quality", "stream",
    "prompt_chars", "counter_ids", "quote_micros", "cost_micros", "images", "http_status", "reserved_at_ms",
    "dispatched_at_ms", "ended_at_ms",
)  # fmt: skip
USAGE_COLUMNS = (
    "hour_at_ms", "day", "project_id", "user_id", "api_key_id", "model", "operation", "size", "quality", "requests", "images",
    "cost_micros", "input_tokens", "output_tokens",
)  # fmt: skip
_COUNTER_AT = REQUEST_COLUMNS.index("counter_ids")


async def fill(database: Database, crowd: Crowd, rows: int, end_ms: int) -> list[Person]:
    """Write the people and a month of their requests that ends at `end_ms`."""
    people = await _people(database, crowd)
    start_ms = end_ms - DAYS * DAY_MS
    months = sorted({bounds_ms("month", at_ms, ZONE)[0] for at_ms in (start_ms, end_ms - 1, (start_ms + end_ms) // 2)})
    ledger = Ledger(people, rows, {month: number + 1 for number, month in enumerate(months)}, start_ms)
    await set_limits(database, ZONE, ScopeRef("organization", ""), None, [LimitChange("micros", "month", 10**14)])
    if database.where.path is not None:
        _fill_sqlite(str(database.where.path), ledger)
    else:
        await _fill_postgresql(database.where.url, ledger)
    return people


async def _people(database: Database, crowd: Crowd) -> list[Person]:
    made, now_ms = [], await database.now_ms()
    async with database.write() as connection:
        project = await get_active_project(connection, DEFAULT_PROJECT)
        users = [User(f"user-{number:024d}", f"person {number}", None, now_ms) for number in range(crowd.users)]
        for user in users:
            await insert_user(connection, user)
        for number in range(crowd.keys):
            user = users[number % len(users)]
            key = await add_key(connection, PEPPER, user, project, KeyFacts(f"key {number}", None, now_ms, None))
            models = (MODELS[number % 5], MODELS[(number // 5 + number + 1) % 5])
            made.append(Person(user.id, key.id, key.key, models, (SIZES[number % 3], SIZES[(number + 1) % 3])))
    return made


def _counter_rows(ledger: Ledger) -> list[tuple[int, int, int, int, int]]:
    return [(id, _LIMIT, month, ledger.spent.get(id, 0), 0) for month, id in ledger.counter_ids.items()]


def _fill_sqlite(path: str, ledger: Ledger) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous=OFF")
    db.execute("PRAGMA cache_size=-262144")
    rows = ((*row[:_COUNTER_AT], json.dumps([row[_COUNTER_AT]]), *row[_COUNTER_AT + 1 :]) for row in ledger.requests())
    for batch in _batches(rows, ledger.rows_wanted):
        _insert(db, "requests", REQUEST_COLUMNS, batch)
    _insert(db, "usage", USAGE_COLUMNS, ledger.usage_rows())
    _insert(db, "counters", ("id", "limit_id", "starts_at_ms", "spent", "held"), _counter_rows(ledger))
    db.execute("ANALYZE")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _insert(db: sqlite3.Connection, table: str, columns: tuple[str, ...], rows: Any) -> None:
    places = ", ".join("?" * len(columns))
    db.execute("BEGIN")
    db.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608  (names of ours)
    db.execute("COMMIT")


async def _fill_postgresql(url: str, ledger: Ledger) -> None:
    connection = await asyncpg.connect(url)
    rows = ((*row[:_COUNTER_AT], [row[_COUNTER_AT]], *row[_COUNTER_AT + 1 :]) for row in ledger.requests())
    for batch in _batches(rows, ledger.rows_wanted):
        await connection.copy_records_to_table("requests", records=batch, columns=REQUEST_COLUMNS)
    await connection.copy_records_to_table("usage", records=ledger.usage_rows(), columns=USAGE_COLUMNS)
    columns = ("id", "limit_id", "starts_at_ms", "spent", "held")
    await connection.copy_records_to_table("counters", records=_counter_rows(ledger), columns=columns)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def _batches(rows: Iterator[tuple[Any, ...]], wanted: int) -> Iterator[list[tuple[Any, ...]]]:
    done = 0
    while batch := list(islice(rows, BATCH)):
        yield batch
        done += len(batch)
        if done % (10 * BATCH) == 0 or done == wanted:
            say(f"{done:,} of {wanted:,} requests")
