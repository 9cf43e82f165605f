"""Whether a gateway's book agrees with its clients and with the relay: read with plain SQL, so that any commit's can be."""

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.scenarios import PRICE_MICROS

PATIENCE_S = 5.0
_SUMS = "SELECT state, count(*), coalesce(sum(cost_micros), 0) FROM requests GROUP BY state"


@dataclass(frozen=True, slots=True)
class Books:
    """`open` counts what is neither settled nor released: it holds money."""

    settled: int
    cost_micros: int
    open: int


async def read_books(where: str | Path) -> Books:
    """A file of SQLite or the URL of a PostgreSQL. What is still being settled is waited for, a moment."""
    until = time.monotonic() + PATIENCE_S
    while True:
        books = await _read(where)
        if not books.open or time.monotonic() > until:
            return books
        await asyncio.sleep(0.05)  # Its process settles by itself and tells nobody.


def complaint(before: Books, after: Books, good: int, calls: int) -> str:
    """What does not agree after `good` answers and `calls` to the relay; empty when all does."""
    settled, cost = after.settled - before.settled, after.cost_micros - before.cost_micros
    found = {
        f"{after.open} open": after.open,
        f"{settled} settled for {good} answers": settled != good,
        f"{cost} micros booked for {good} answers": cost != good * PRICE_MICROS,
        f"{calls} calls to the relay for {good} answers": calls != good,
    }
    return "; ".join(words for words, wrong in found.items() if wrong)


async def _read(where: str | Path) -> Books:
    rows = await (asyncio.to_thread(_sqlite, where) if isinstance(where, Path) else _postgresql(where))
    by_state = {state: (count, int(cost)) for state, count, cost in rows}
    settled, cost_micros = by_state.pop("settled", (0, 0))
    by_state.pop("released", None)
    return Books(settled, cost_micros, sum(count for count, _ in by_state.values()))


def _sqlite(path: Path) -> Iterable[tuple[str, int, int]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(_SUMS).fetchall()
    finally:
        connection.close()


async def _postgresql(url: str) -> Iterable[tuple[str, int, int]]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(_SUMS)]
    finally:
        await connection.close()
