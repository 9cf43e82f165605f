"""What the money tests ask of a gateway, and the proof that its books agree: counters, rows, roll-ups and the relay's own bill."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import sqlalchemy as sa

from app.sandbox import RunningSandbox
from app.store.engine import Database
from app.store.tables import limits, usage, users
from tests.gateways import RELAY_KEY, all_counters, book

GENERATIONS = "/v1/images/generations"
UNRESOLVED = ("reserved", "dispatched", "unknown")
Row = dict[str, Any]


@asynccontextmanager
async def opened(url: str, key: str = "") -> AsyncIterator[httpx2.AsyncClient]:
    """A client with room for a crowd; `key` is the bearer secret."""
    crowd = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx2.AsyncClient(base_url=url, headers=headers, limits=crowd, timeout=60) as client:
        yield client


async def ask(client: httpx2.AsyncClient, prompt: str = "a cat", **fields: Any) -> httpx2.Response:
    """One generation: gpt-image-1, 1.00 an image, unless `model` says otherwise."""
    return await client.post(GENERATIONS, json={"model": "gpt-image-1", "prompt": prompt, **fields})


async def until(happened: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Return when it has: another program does not tell, one has to ask."""
    async with asyncio.timeout(seconds):
        while not await happened():
            await asyncio.sleep(0.03)


async def the_row(database: Database, answer: httpx2.Response) -> Row:
    """The row of the request that was answered."""
    return next(row for row in await book(database) if row["id"] == answer.headers["x-request-id"])


async def limited(database: Database) -> list[Row]:
    """Every counter with its limit: unit, scope, scope_id, amount, spent, held, starts_at_ms."""
    async with database.read() as connection:
        found = {row["id"]: dict(row) for row in (await connection.execute(sa.select(limits))).mappings()}
    return [found[counter["limit_id"]] | counter for counter in await all_counters(database)]


async def user_id(database: Database, name: str) -> str:
    async with database.read() as connection:
        return str((await connection.execute(sa.select(users.c.id).where(users.c.name == name))).scalar_one())


async def used(database: Database, user: str, unit: str = "micros") -> list[tuple[int, int]]:
    """(spent, held) of each interval of a user's limits of one unit, oldest first."""
    id = await user_id(database, user)
    counters = [c for c in await limited(database) if c["scope_id"] == id and c["unit"] == unit]
    return [(c["spent"], c["held"]) for c in sorted(counters, key=lambda c: c["starts_at_ms"])]


async def assert_books_agree(database: Database) -> None:
    """Each counter is what the rows that hold on it add up to, to the micro; the roll-up is what the settled ones do."""
    rows, counters = await book(database), await limited(database)
    shown = {c["id"]: (c["spent"], c["held"]) for c in counters}
    due = {c["id"]: _due(c, [row for row in rows if c["id"] in row["counter_ids"]]) for c in counters}
    assert shown == due

    settled = [row for row in rows if row["state"] == "settled"]
    columns = (usage.c.requests, usage.c.images, usage.c.cost_micros)
    async with database.read() as connection:
        sums = (await connection.execute(sa.select(*(sa.func.coalesce(sa.func.sum(c), 0) for c in columns)))).one()
    assert [int(value) for value in sums] == [len(settled), _sum(settled, "images"), _sum(settled, "cost_micros")]


async def assert_nothing_held(database: Database) -> None:
    assert [counter for counter in await all_counters(database) if counter["held"]] == []


async def assert_bill_paid(database: Database, relay: RunningSandbox) -> None:
    """What the relay has charged is what is settled or not known, each once and at its price."""
    rows = {row["id"]: row for row in await book(database)}
    asked = {seen.request_id: seen.headers.get("x-request-id", "") for seen in relay.sandbox.seen}
    charged = Counter(asked[charge.request_id] for charge in relay.sandbox.bill)
    settled = {id for id, row in rows.items() if row["state"] == "settled"}
    unknown = {id for id, row in rows.items() if row["state"] == "unknown"}
    assert max(charged.values(), default=1) == 1, "an image was paid for twice"
    assert settled <= charged.keys() <= settled | unknown
    billed = sum(charge.micros for charge in relay.sandbox.bill if asked[charge.request_id] in settled)
    assert billed == _sum((rows[id] for id in settled), "cost_micros")


def _due(counter: Row, rows: list[Row]) -> tuple[int, int]:
    takes = {"micros": "quote_micros", "images": "n"}.get(counter["unit"])
    spends = {"micros": "cost_micros", "images": "n"}.get(counter["unit"])
    holding = UNRESOLVED if counter["unit"] != "in_flight" else UNRESOLVED[:2]
    settled = [row for row in rows if row["state"] == "settled" and counter["unit"] != "in_flight"]
    held = [row for row in rows if row["state"] in holding]
    return sum(row[spends] if spends else 1 for row in settled), sum(row[takes] if takes else 1 for row in held)


def _sum(rows: Iterable[Row], column: str) -> int:
    return sum(row[column] for row in rows)


QUOTE = 1_000_000
UNKNOWN = "upstream_outcome_unknown"
NEVER = "false"
"""The value of x-should-retry that stops the SDKs."""


def assert_nothing_leaks(text: str) -> None:
    for secret in ("request id", "http:", "https:", "127.0.0.1", "whatai", RELAY_KEY, "sk-", "令牌", "<html"):
        assert secret not in text
