"""Statements: frozen once, line by line beside the bill, with what came later told apart; every table adds up to the ledger."""

import asyncio
import random
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from app.control.projects import create_project, rename_project
from app.control.statements import (
    LineField,
    Statement,
    StatementMonth,
    bill_and_closing,
    close_statement,
    read_statement,
)
from app.core.intervals import local_day
from app.errors import Conflict, InvalidValue, NotFound
from app.store.engine import Database
from app.store.reconciliation import DriftRow, save_drift
from app.store.statements import list_statements
from app.store.tables import usage
from tests.databases import insert_request, insert_usage

ZONE = ZoneInfo("Asia/Shanghai")
FEBRUARY = StatementMonth.of("2026-02")
GROUPINGS: tuple[tuple[LineField, ...], ...] = (
    (),
    ("day",),
    ("project",),
    ("model",),
    ("day", "model"),
    ("day", "project", "model"),
)


async def use(database: Database, chance: random.Random, projects: list[str], count: int = 25) -> None:
    for _ in range(count):
        await insert_usage(
            database,
            day=f"2026-02-{chance.randrange(1, 29):02d}",
            hour_at_ms=chance.randrange(10**6) * 3_600_000,
            project_id=chance.choice(projects),
            model=f"model-{chance.randrange(3)}",
            quality=chance.choice(["", "high"]),
            requests=chance.randrange(1, 4),
            images=chance.randrange(5),
            cost_micros=chance.randrange(-10, 10**9),
        )


async def bill(database: Database, day: str, model: str, micros: int, relay: str = "default") -> None:
    await save_drift(database, [DriftRow(relay, day, model, 0, micros, 0, 1)])


async def ledger(database: Database, project: str | None = None) -> tuple[int, int, int]:
    columns = [sa.func.coalesce(sa.func.sum(usage.c[name]), 0) for name in ("requests", "images", "cost_micros")]
    where = [usage.c.day.between("2026-02-01", "2026-02-28"), *([usage.c.project_id == project] if project else [])]
    async with database.read() as connection:
        requests, images, cost = (await connection.execute(sa.select(*columns).where(*where))).one()
    return int(requests), int(images), int(cost)


def check_sums(found: Statement) -> None:
    for by in GROUPINGS:
        groups = found.grouped(*by)
        for name in ("requests", "images", "cost_micros", "later_micros"):
            assert sum(getattr(group, name) for group in groups) == getattr(found.total, name), (by, name)
        if "project" not in by and found.total.billed_micros is not None:
            assert sum(group.billed_micros or 0 for group in groups) == found.total.billed_micros, by


@pytest.mark.parametrize("seed", range(3))
async def test_a_closed_month_stays_and_what_comes_later_is_the_difference_to_the_ledger(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    posters = await create_project(database, "posters")
    projects = ["proj_default", posters.id]
    await use(database, chance, projects)
    for day in ("2026-01-31", "2026-03-01"):
        await insert_usage(database, day=day)
    before = await ledger(database)
    draft = await read_statement(database, FEBRUARY, None, ZONE)
    assert draft.closed is None and draft.is_over

    closed = await close_statement(database, FEBRUARY, None, ZONE)
    of_posters = await close_statement(database, FEBRUARY, "posters", ZONE)

    assert set(closed.lines) == set(draft.lines) and closed.later == ()
    assert (closed.total.requests, closed.total.images, closed.total.cost_micros) == before
    await use(database, chance, projects, 10)
    await rename_project(database, "posters", "placards")
    again = await read_statement(database, FEBRUARY, None, ZONE)
    assert again.lines == closed.lines
    assert again.total.cost_micros + again.total.later_micros == (await ledger(database))[2]
    assert {line.project for line in (*again.lines, *again.later)} <= {"default", "posters"}
    part = await read_statement(database, FEBRUARY, posters.id, ZONE)
    assert part.lines == of_posters.lines
    assert part.total.cost_micros + part.total.later_micros == (await ledger(database, posters.id))[2]
    for found in (draft, closed, again, part):
        check_sums(found)


async def test_the_difference_to_the_bill_is_that_of_the_days_it_is_known_of(database: Database) -> None:
    for day, model, cost in (("03", "a", 100), ("03", "b", 50), ("04", "a", 7), ("05", "a", 30)):
        await insert_usage(database, day=f"2026-02-{day}", model=model, cost_micros=cost)
    await bill(database, "2026-02-03", "a", 90)
    await bill(database, "2026-02-03", "a", 5, "second")
    await bill(database, "2026-02-03", "b", 50)
    await bill(database, "2026-02-05", "c", 4)

    closed = await close_statement(database, FEBRUARY, None, ZONE)
    await bill(database, "2026-02-04", "a", 7)  # Frozen, too: what is measured later changes nothing.
    found = await read_statement(database, FEBRUARY, None, ZONE)

    assert found.bill == closed.bill and found.days_without_bill == ["2026-02-04"]
    by_day = {group.names[0]: (group.billed_micros, group.difference_micros) for group in found.grouped("day")}
    assert by_day == {"2026-02-03": (145, -5), "2026-02-04": (None, None), "2026-02-05": (4, -26)}
    by_model = {group.names[0]: (group.cost_micros, group.difference_micros) for group in found.grouped("model")}
    assert by_model == {"a": (137, -35), "b": (50, 0), "c": (0, 4)}
    assert (found.total.billed_micros, found.total.difference_micros) == (149, -31)
    assert (await read_statement(database, FEBRUARY, "default", ZONE)).bill == {}
    assert {group.billed_micros for group in found.grouped("project")} == {None}


async def test_a_month_is_closed_once_whoever_is_first(database: Database) -> None:
    await insert_usage(database, day="2026-02-03")

    closing = [close_statement(database, FEBRUARY, None, ZONE) for _ in range(4)]
    outcomes = await asyncio.gather(*closing, return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 3 + ["Statement"]
    assert [(each.month, each.project_id) for each in await database.ask(list_statements)] == [("2026-02", "")]
    assert (await read_statement(database, FEBRUARY, None, ZONE)).total.requests == 1
    with pytest.raises(Conflict, match="closed already"):
        await close_statement(database, FEBRUARY, None, ZONE)


async def test_a_month_that_lasts_is_not_closed(database: Database) -> None:
    month = StatementMonth.of(local_day(await database.now_ms(), ZONE)[:7])

    with pytest.raises(InvalidValue, match="has not ended"):
        await close_statement(database, month, None, ZONE)
    with pytest.raises(NotFound):
        await close_statement(database, FEBRUARY, "nothing", ZONE)
    for name in ("2026-13", "2026-2", "", "2026-02-01", "９999-01"):
        with pytest.raises(InvalidValue):
            StatementMonth.of(name)


async def test_requests_whose_outcome_is_unknown_are_counted(database: Database) -> None:
    at_ms = 1_770_000_000_000  # 2 February 2026.
    await insert_request(database, "user-1", "key_1", state="unknown", reserved_at_ms=at_ms)
    await insert_request(database, "user-1", "key_1", id="req_2", state="reserved", reserved_at_ms=at_ms)

    assert (await close_statement(database, FEBRUARY, None, ZONE)).unknown == 1
    posters = await create_project(database, "posters")
    assert (await close_statement(database, FEBRUARY, posters.id, ZONE)).unknown == 0


async def test_a_report_of_exactly_a_closed_month_has_its_lines_beside_it(database: Database) -> None:
    posters = await create_project(database, "posters")
    await insert_usage(database, day="2026-02-03", project_id=posters.id, cost_micros=5)
    await insert_usage(database, day="2026-02-03", model="seedream-3.0", cost_micros=7)
    closed = (await close_statement(database, FEBRUARY, None, ZONE)).closed

    async def costs(since: str, until: str, **only: str) -> list[int] | None:
        found = await bill_and_closing(database, since, until, only, ZONE)  # type: ignore[arg-type]
        assert found.closed in (None, closed)
        return None if found.closed is None else [line.cost_micros for line in found.lines]

    month = (FEBRUARY.since, FEBRUARY.until)
    assert sorted(await costs(*month) or []) == [5, 7]
    assert await costs(*month, project=posters.id) == [5]
    assert await costs(*month, model="seedream-3.0") == [7]
    assert await costs(*month, user="user-1") is None
    assert await costs("2026-02-02", FEBRUARY.until) is None
