"""Beats, and the rows of those who stopped beating."""

import time
from typing import Any

import pytest
import sqlalchemy as sa

from app.core.request import DEFAULT_RELAY
from app.store.engine import Database
from app.store.processes import SILENT_MS, Processes
from app.store.reconciliation import unknown
from app.store.tables import processes
from tests.databases import insert_request
from tests.store.purchasing import Desk


async def test_a_beat_tells_the_databases_time(database: Database) -> None:
    before_s = time.monotonic()
    beaten_ms, asked_s = await Processes(database, "proc_me").beat()

    assert abs(await database.now_ms() - beaten_ms) < 5_000
    assert before_s <= asked_s <= time.monotonic()


async def test_own_rows_are_no_orphans(desk: Desk) -> None:
    order = await desk.order(owner="proc_me")
    me = Processes(desk.database, "proc_me")
    await me.beat()
    await desk.ledger.reserve(order)

    assert await me.orphans([], of_silent=True) == []


async def test_rows_of_a_silent_process_are_orphans_and_finished_ones_are_not(desk: Desk) -> None:
    database, dead, me = desk.database, Processes(desk.database, "proc_dead"), Processes(desk.database, "proc_me")
    await dead.beat()
    await me.beat()
    for number, state in enumerate(["reserved", "dispatched", "settled", "released", "unknown"]):
        await insert_request(database, "user-1", "key_1", id=f"req_{number}", owner="proc_dead", state=state)
    await age(database, "proc_dead", SILENT_MS + 1_000)

    orphans = await me.orphans([], of_silent=True)

    assert sorted((orphan.id, orphan.state) for orphan in orphans) == [("req_0", "reserved"), ("req_1", "dispatched")]


async def test_on_postgresql_a_process_that_still_beats_keeps_its_rows(desk: Desk) -> None:
    other, me = Processes(desk.database, "proc_other"), Processes(desk.database, "proc_me")
    await other.beat()
    await me.beat()
    await insert_request(desk.database, "user-1", "key_1", owner="proc_other")

    found = [orphan.id for orphan in await me.orphans([], of_silent=True)]

    assert found == (["req_1"] if desk.database.is_sqlite else []), "on SQLite the lock proves that nobody else lives"


async def test_a_process_that_left_in_peace_leaves_its_rows_at_once(desk: Desk) -> None:
    other, me = Processes(desk.database, "proc_other"), Processes(desk.database, "proc_me")
    await other.beat()
    await me.beat()
    await insert_request(desk.database, "user-1", "key_1", owner="proc_other")

    await other.deregister()

    assert [orphan.id for orphan in await me.orphans([], of_silent=True)] == ["req_1"]


async def test_a_process_known_to_be_dead_leaves_its_rows_before_it_has_been_silent(desk: Desk) -> None:
    other, me = Processes(desk.database, "proc_other"), Processes(desk.database, "proc_me")
    await other.beat()
    await me.beat()
    await insert_request(desk.database, "user-1", "key_1", owner="proc_other")

    assert [orphan.id for orphan in await me.orphans(["proc_other"], of_silent=False)] == ["req_1"]


async def test_own_rows_that_stay_reserved_for_long_are_strays(desk: Desk) -> None:
    me = Processes(desk.database, "proc_me")
    for number, state in enumerate(["reserved", "dispatched"]):
        await insert_request(desk.database, "user-1", "key_1", id=f"req_{number}", owner="proc_me", state=state)
    await insert_request(desk.database, "user-1", "key_1", id="req_new", owner="proc_me", reserved_at_ms=2 * 10**15)

    assert [stray.id for stray in await me.unsent_reservations(10**15)] == ["req_0"]


async def test_only_the_long_dead_who_own_nothing_are_forgotten(desk: Desk) -> None:
    database = desk.database
    for name in ("proc_me", "proc_owner", "proc_gone", "proc_late"):
        await Processes(database, name).beat()
    await insert_request(database, "user-1", "key_1", owner="proc_owner", state="unknown")
    await age(database, "proc_owner", 200 * SILENT_MS)
    await age(database, "proc_gone", 200 * SILENT_MS)
    await age(database, "proc_late", 2 * SILENT_MS)

    await Processes(database, "proc_me").forget_dead()

    async with database.read() as connection:
        left = (await connection.execute(sa.select(processes.c.id).order_by(processes.c.id))).scalars().all()
    assert left == ["proc_late", "proc_me", "proc_owner"]


async def test_recovery_reads_a_handful_of_rows_however_long_the_book(desk: Desk) -> None:
    """By its plan: on SQLite, which tells it in one word."""
    database, me = desk.database, Processes(desk.database, "proc_me")
    if not database.is_sqlite:
        pytest.skip("PostgreSQL reads a short book whole, whatever indexes it has")
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    sa.event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    await me.orphans([], of_silent=True)
    await me.unsent_reservations(0)
    await me.forget_dead()
    async with database.read() as connection:
        await unknown(connection, DEFAULT_RELAY, 0, 1)
    sa.event.remove(database.engine.sync_engine, "before_cursor_execute", note)

    statements = [(statement, parameters) for statement, parameters in asked if "FROM requests" in statement]
    assert len(statements) == 4
    async with database.read() as connection:
        for statement, parameters in statements:
            plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)).all()
            assert "ix_requests_unresolved" in str(plan), statement


async def age(database: Database, process: str, by_ms: int) -> None:
    """As if it had beaten that much earlier."""
    async with database.transaction() as connection:
        older = processes.c.beat_at_ms - by_ms
        await connection.execute(sa.update(processes).where(processes.c.id == process).values(beat_at_ms=older))
