"""Comparison of a gateway's book with its clients and the relay, in plain SQL, so that it works on any commit."""

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.load import Tally
from benchmarks.scenarios import PRICE_MICROS

PATIENCE_S, STILL_S = 5.0, 0.2
_SUMS = "SELECT state, count(*), coalesce(sum(cost_micros), 0) FROM requests GROUP BY state"


@dataclass(frozen=True, slots=True)
class Books:
    """`open` counts what is neither settled nor released: it holds money."""

    settled: int
    cost_micros: int
    open: int


async def read_books(where: str | Path) -> Books:
    """A file of SQLite or the URL of a PostgreSQL. What is still on its way is waited for, a moment."""
    until = time.monotonic() + PATIENCE_S
    books, last = await _read(where), None
    while (books.open or books != last) and time.monotonic() < until:
        await asyncio.sleep(STILL_S)  # A client that has left is booked by its process itself, which tells nobody.
        books, last = await _read(where), books
    return books


def complaint(before: Books, after: Books, tally: Tally, calls: int) -> str:
    """Name the differences after `calls` to the relay, one image each; empty if there is none.

    Whoever hung up may or may not have bought: the relay's calls say what was, and the book has to say the same.
    """
    settled, cost = after.settled - before.settled, after.cost_micros - before.cost_micros
    clients = f"{tally.good} answers" + (f" and {tally.left} who hung up" if tally.left else "")
    found = {
        f"{after.open} open": after.open,
        f"{settled} settled for {calls} calls to the relay": settled != calls,
        f"{cost} micros booked for {calls} calls to the relay": cost != calls * PRICE_MICROS,
        f"{calls} calls to the relay for {clients}": not tally.good <= calls <= tally.good + tally.left,
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
