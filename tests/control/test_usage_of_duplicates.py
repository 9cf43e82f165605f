"""Usage over random books: with duplicates bought and served, corrections, and people erased in between."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.blobs.folder import FolderBlobs
from app.control import usage
from app.control.audit import audit
from app.control.erasure import Erasure
from app.store import organization
from app.store.duplicates import PurchaseRows
from app.store.engine import Database
from app.store.ledger import corrections
from app.store.ledger.types import Reserved
from app.store.organization import User
from app.store.results import ResultRows
from app.store.tables import corrections as corrections_table
from app.store.tables import pictures, requests, served_duplicates
from app.store.tables import usage as usage_table
from app.store.usage import DuplicateSums, Sums
from tests.store.purchasing import ENDING, NOW_MS, Desk, open_ledger, settlement

PEOPLE = ("user-1", "user-2")
Step = tuple[Any, ...]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buy"), st.sampled_from(PEOPLE), st.integers(0, 1), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("buy"), st.sampled_from(PEOPLE), st.integers(0, 1), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("serve"), st.sampled_from(PEOPLE), st.integers(0, 1)),
        st.tuples(st.just("correct"), st.integers(0, 20), st.sampled_from([-2, 3])),
        st.tuples(st.just("erase"), st.sampled_from(PEOPLE)),
    ),
    min_size=8,
    max_size=20,
)


@dataclass
class Book:
    """What is done to a database, and what must come of it."""

    desk: Desk
    erasure: Erasure
    bought: dict[str, str] = field(default_factory=dict)
    """User by settled request."""
    kept: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    duplicates: int = 0
    served: int = 0

    async def buy(self, user: str, what: int, cost: int, settles: bool) -> None:
        digest = f"{user}/{what}".encode()
        at_ms = NOW_MS + len(self.bought)
        facts: Any = {"user_id": user, "duplicate_digest": digest, "prompt": f"secret {user}"}
        order = await self.desk.order(**facts, reserved_at_ms=at_ms)
        outcome = await self.desk.ledger.reserve(order)
        earlier = self.kept.get((user, what))
        assert outcome == Reserved(f"{earlier[-1]}_0" if earlier else None)
        assert await self.desk.ledger.dispatch(order.request_id, "proc_1", NOW_MS, "default")
        if not settles:
            assert await self.desk.ledger.release(order.request_id, ENDING)
            return
        assert await self.desk.ledger.settle(order.request_id, settlement(cost)) is not None
        self.bought[order.request_id] = user
        self.kept.setdefault((user, what), []).append(order.request_id)
        self.duplicates += bool(earlier)
        async with self.desk.database.transaction() as connection:
            await connection.execute(sa.insert(pictures).values(_picture(order.request_id, user)))

    async def serve(self, user: str, what: int) -> None:
        rows = PurchaseRows(self.desk.database)
        earlier = await rows.newest(f"{user}/{what}".encode(), NOW_MS, whole=True)
        kept = self.kept.get((user, what))
        assert (earlier and earlier.request_id) == (kept[-1] if kept else None)
        if earlier is not None:
            await rows.note_served(earlier.request_id, "key_1", NOW_MS)
            self.served += 1

    async def correct(self, which: int, cost: int) -> None:
        if self.bought:
            id = list(self.bought)[which % len(self.bought)]
            correction = corrections.Correction(
                id, "short", "of user-1 and user-2", "somebody", NOW_MS, cost_micros=cost
            )
            assert await corrections.post(self.desk.database, correction, usage.UTC)

    async def erase(self, user: str) -> None:
        await self.erasure.erase(user)
        self.erased.add(user)
        self.kept = {key: ids for key, ids in self.kept.items() if key[0] != user}
        self.desk.revision = 0  # The control data has changed.


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=STEPS, by=st.sampled_from([["user"], ["day", "model"], []]))
async def test_usage_is_the_ledger_whatever_is_served_corrected_and_erased(
    steps: Sequence[Step], by: list[str], database: Database, tmp_path: Any
) -> None:
    await _empty(database)
    async with open_ledger(database, connections_max=1) as ledger:
        book = Book(Desk(database, ledger), _erasure(database, tmp_path))
        for name, *values in steps:
            if name in ("buy", "serve") and values[0] in book.erased:
                continue
            await getattr(book, name)(*values)

    report = await usage.report(database, by)
    async with database.read() as connection:
        rows = (await connection.execute(sa.select(requests))).mappings().all()
        added = (await connection.execute(sa.select(corrections_table))).mappings().all()
    settled = [row for row in rows if row["state"] == "settled"]
    corrected = {
        row["id"]: sum(each["cost_micros"] for each in added if each["request_id"] == row["id"]) for row in rows
    }
    cost = sum(row["cost_micros"] + corrected[row["id"]] for row in settled)
    twice = [row for row in settled if row["duplicate_of"] is not None]
    twice_cost = sum(row["cost_micros"] + corrected[row["id"]] for row in twice)
    assert report.total == Sums(len(settled), len(settled), cost)
    assert report.duplicates == DuplicateSums(book.duplicates, twice_cost, book.served)
    assert len(twice) == book.duplicates
    assert sum((row.duplicates for row in report.rows), DuplicateSums()) == report.duplicates
    assert (await audit(database, usage.UTC)).differences == ()
    assert not [row["id"] for row in rows if row["user_id"] in book.erased and row["prompt"] is not None]
    assert {row["prompt"] for row in rows if row["user_id"] not in book.erased} <= {f"secret {user}" for user in PEOPLE}
    if by == ["user"]:
        assert not {row.names[0][0] for row in report.rows} & {f"name-{user}" for user in book.erased}


def _erasure(database: Database, folder: Any) -> Erasure:
    async def remove(ids: Sequence[str]) -> None:
        async with database.transaction() as connection:
            await connection.execute(sa.delete(pictures).where(pictures.c.id.in_(ids)))

    async def no_strays() -> None:
        pass

    return Erasure(database, ResultRows(database), FolderBlobs(folder), remove, no_strays)


async def _empty(database: Database) -> None:
    tables = (requests, corrections_table, pictures, served_duplicates, usage_table)
    async with database.transaction() as connection:
        for table in tables:
            await connection.execute(sa.delete(table))
        for name in ("usage_hours", "usage_days"):
            await connection.execute(sa.text(f"DELETE FROM {name}"))  # noqa: S608
        await connection.execute(sa.text("DELETE FROM users"))
    async with database.write() as connection:
        for user in PEOPLE:
            await organization.insert_user(connection, User(user, f"name-{user}", f"{user}@example.org", 1))


def _picture(request_id: str, user: str) -> dict[str, Any]:
    return {
        "id": f"{request_id}_0",
        "request_id": request_id,
        "index": 0,
        "user_id": user,
        "project_id": "proj_1",
        "model": "gpt-image-1",
        "digest": request_id,
        "media_type": "image/png",
        "bytes": 1,
        "c2pa": 0,
        "visibility": "private",
        "created_at_ms": NOW_MS,
        "kept_until_ms": NOW_MS + 1_000_000_000,
    }
