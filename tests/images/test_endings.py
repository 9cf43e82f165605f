"""Endings that go wrong: what was bought is booked all the same, once, and what was not is given back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from app.control.audit import audit
from app.errors import StoreUnavailable
from app.sandbox import RunningSandbox
from app.store.control_data import ControlData
from app.store.engine import Database, DatabaseUrl, open_database
from app.store.ledger.types import IdempotencyKeyTaken, Reserved
from app.store.tables import requests
from tests.gateways import Running, running_gateway
from tests.held import HELD, answering
from tests.images.client import SMALL, Client, until
from tests.money import books
from tests.money.books import assert_books_agree, assert_nothing_held
from tests.store.purchasing import ENDING, Desk, open_ledger


@pytest.fixture
async def running(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, relay.base_url) as gateway:
        yield gateway


@pytest.fixture
async def client(running: Running, relay: RunningSandbox) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(base_url=running.url, timeout=30, verify=False) as http:
        yield Client(http, await running.key("lin"), relay, running)


async def test_a_settlement_the_database_aborts_costs_nobody_the_picture_and_is_booked_when_it_can_be(
    client: Client,
) -> None:
    await client.gateway.limit("user", "lin", "micros", "month", 5_000_000)
    await run_sql(
        client.gateway,
        "CREATE TRIGGER no BEFORE UPDATE OF state ON requests WHEN new.state = 'settled' BEGIN SELECT raise(ABORT, 'no'); END",
    )
    answer = await client.ask(SMALL)
    assert answer.status_code == 200
    assert await client.states() == ["dispatched"]

    await run_sql(client.gateway, "DROP TRIGGER no")

    async def settled() -> bool:
        return await client.states() == ["settled"]

    await books.until(settled)
    await assert_books_agree(client.gateway.database)
    await assert_nothing_held(client.gateway.database)

    async def is_only_in_its_row() -> bool:
        return not any(client.gateway.gateway.kept_answers.directory.glob("req_*"))

    await books.until(is_only_in_its_row)


async def test_an_answer_that_comes_after_its_request_was_released_is_booked_as_a_correction(client: Client) -> None:
    await client.gateway.limit("user", "lin", "micros", "month", 5_000_000)
    asking = asyncio.create_task(client.ask(SMALL | {"prompt": HELD}))
    await until(lambda: len(client.relay.sandbox.seen) == 1)
    [row] = await client.gateway.rows()
    assert await client.gateway.gateway.ledger.release(row["id"], replace(ENDING, http_status=None))

    with answering(client.relay):
        answer = await asking

    assert answer.status_code == 200
    assert await client.states() == ["released"]
    [counter] = await client.gateway.counters()
    assert (counter["spent"], counter["held"]) == (80_000, 0)
    report = await audit(client.gateway.database, client.gateway.gateway.zone)
    assert report.differences == ()


async def test_the_retry_of_a_released_try_does_not_take_an_older_delivered_picture(client: Client) -> None:
    await client.ask(SMALL, retry=0)
    await client.ask(SMALL, retry=0)
    await client.gateway.gateway.chores.stop()  # One of them notes deliveries a quarter of a second later.
    first, second = await client.gateway.rows()
    async with client.gateway.database.transaction() as connection:  # As if the relay had refused it.
        update = sa.update(requests)
        await connection.execute(update.where(requests.c.id == first["id"]).values(delivered_at_ms=1))
        await connection.execute(
            update.where(requests.c.id == second["id"]).values(state="released", delivered_at_ms=None)
        )

    answer = await client.ask(SMALL, retry=1)

    assert "idempotent-replayed" not in answer.headers
    assert len(client.relay.sandbox.seen) == 3


async def test_what_is_bought_instead_of_a_released_try_is_the_original_of_the_next_one(client: Client) -> None:
    await client.ask(SMALL, retry=0)
    async with client.gateway.database.transaction() as connection:  # As if the relay had refused it.
        await connection.execute(sa.update(requests).values(state="released", delivered_at_ms=None))
    bought = await client.ask(SMALL, retry=1)

    answer = await client.ask(SMALL, retry=2)

    assert answer.headers["idempotent-replayed"] == "true"
    assert answer.content == bought.content
    assert len(client.relay.sandbox.seen) == 2


async def test_a_refusal_of_a_client_that_does_not_count_is_not_noted(client: Client) -> None:
    await client.gateway.limit("user", "lin", "requests", "minute", 1)
    await client.ask(SMALL)

    refused = await client.ask(SMALL)

    assert refused.status_code == 429
    async with client.gateway.database.read() as connection:
        assert (await connection.execute(sa.text("SELECT count(*) FROM refusals"))).scalar_one() == 0


async def test_an_idempotency_key_that_sounds_like_an_error_is_a_duplicate_like_any_other(database: Database) -> None:
    async with open_ledger(database) as ledger:
        desk = Desk(database, ledger)
        orders = [await desk.order(idempotency_key="locked readonly database", fingerprint=b"f") for _ in range(2)]
        outcomes = [await ledger.reserve(order) for order in orders]

    assert outcomes == [Reserved(), IdempotencyKeyTaken()]


async def test_nobody_waits_in_line_for_a_database_that_is_away(tmp_path: Path) -> None:
    calls = 0

    class Away(ControlData):
        async def _read_revision(self) -> int:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0.2)
            raise StoreUnavailable("away")

    database = open_database(DatabaseUrl("sqlite", path=tmp_path / "none.db"))
    control_data = Away(database)
    async with asyncio.timeout(30):
        outcomes = await asyncio.gather(*(control_data.grant("key_x") for _ in range(50)), return_exceptions=True)
    await database.close()

    assert {type(outcome) for outcome in outcomes} == {StoreUnavailable}
    assert calls == 1


async def run_sql(running: Running, statement: str) -> None:
    async with running.database.transaction() as connection:
        await connection.exec_driver_sql(statement)
