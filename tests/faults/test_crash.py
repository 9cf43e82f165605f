"""A gateway that dies at the worst moment: nothing is bought twice, nothing stays blocked, what was paid is in the book."""

import asyncio
import signal
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from app.core.intervals import bounds_ms
from app.core.request import DEFAULT_RELAY
from app.sandbox import RunningSandbox
from app.settings import Settings
from app.store import limits as stored_limits
from app.store.engine import Database, DatabaseUrl
from app.store.ledger.columns import CounterKey, Reservation
from app.store.ledger.types import Reserved
from app.store.tables import organization, processes
from tests.databases import insert
from tests.faults.conftest import StartGateway, StartProcess
from tests.faults.given import QUOTE, Books, is_in, limited_key, only_row, write_locked
from tests.gateways import Running, book, prepare
from tests.held import HELD
from tests.money.books import ask, assert_bill_paid, assert_books_agree, opened, until, used, user_id

ZONE = Settings(_env_file=None).zone


async def ask_and_be_left(client: httpx2.AsyncClient, prompt: str, **fields: object) -> None:
    """A request whose gateway dies before it answers."""
    with pytest.raises(httpx2.TransportError):
        await ask(client, prompt, **fields)


async def kill_while(books: Books, started: StartProcess, prompt: str, **fields: object) -> Database:
    """kill -9 once the request is dispatched, and a start after it."""
    process, database = await started(), books()
    key = await limited_key(database)
    async with opened(process.url, key) as client:
        asking = asyncio.create_task(ask_and_be_left(client, prompt, **fields))
        await until(lambda: is_in(database, "dispatched"))
        await process.stop(signal.SIGKILL)
        await asking
    assert await used(database, "lin") == [(0, QUOTE)]
    process = await started()
    async with opened(process.url, key) as client:
        answer = await ask(client)
    assert answer.status_code == 200, "the place in flight was not given back"
    return database


async def test_a_request_that_was_sent_when_the_gateway_died_is_unknown_and_stays_held(
    processes: StartProcess, books: Books, relay: RunningSandbox
) -> None:
    database = await kill_while(books, processes, "[[sandbox hang=1]] a cat")

    lost, _ = await book(database)
    assert (lost["state"], lost["http_status"], lost["cost_micros"]) == ("unknown", None, None)
    assert await used(database, "lin") == [(QUOTE, QUOTE)]
    assert await used(database, "lin", "in_flight") == [(0, 0)]
    await assert_books_agree(database)
    await assert_bill_paid(database, relay)


async def test_an_answer_that_was_whole_when_the_gateway_died_is_settled(
    processes: StartProcess, books: Books, relay: RunningSandbox, tmp_path: Path
) -> None:
    process, database = await processes(), books()
    key = await limited_key(database)
    async with opened(process.url, key) as client:
        asking = asyncio.create_task(ask_and_be_left(client, HELD, n=4))
        await until(lambda: is_in(database, "dispatched"))
        async with write_locked(tmp_path):  # The settlement waits, the answer is there.
            relay.sandbox.hurry.set()
            await until(lambda: whole_result(tmp_path))
            await process.stop(signal.SIGKILL)
            await asking
    await processes()

    row = await only_row(database)
    assert (row["state"], row["cost_micros"], row["images"]) == ("settled", 4 * QUOTE, 4)
    assert await used(database, "lin") == [(4 * QUOTE, 0)]
    assert await used(database, "lin", "in_flight") == [(0, 0)]
    await assert_books_agree(database)
    assert len(relay.sandbox.bill) == 1


async def whole_result(folder: Path) -> bool:
    return any(path.read_bytes().endswith(b"}") for path in (folder / "results").glob("req_*"))


async def test_an_answer_that_was_cut_by_the_crash_is_not_believed(
    processes: StartProcess, books: Books, tmp_path: Path
) -> None:
    process, database = await processes(), books()
    key = await limited_key(database)
    async with opened(process.url, key) as client:
        asking = asyncio.create_task(ask_and_be_left(client, "[[sandbox drip=6]] a cat", n=4))
        await until(lambda: has_result(tmp_path))
        await process.stop(signal.SIGKILL)
        await asking
    await processes()

    assert (await only_row(database))["state"] == "unknown"
    assert await used(database, "lin") == [(0, 4 * QUOTE)]


async def has_result(folder: Path) -> bool:
    return any((folder / "results").glob("req_*"))


async def test_what_was_never_sent_is_given_back_whole(
    tmp_path: Path, postgres_url: str, gateways: StartGateway, relay: RunningSandbox
) -> None:
    for url, folder in ((None, "a"), (postgres_url, "b")):
        where = DatabaseUrl.of(url, tmp_path / folder)
        (tmp_path / folder).mkdir()
        await prepare(where)
        running = await gateways(folder, database_url=url)
        await limited_key(running.database)
        order = await reserve(running, "proc_dead", "req_dead")
        assert await used(running.database, "lin") == [(0, QUOTE)]
        await mourn(running.database, "proc_dead", silent_s=31)

        await running.gateway.heartbeat.beat()
        await running.gateway.recovery.turn()
        if url is not None:  # This gateway has not been in contact long enough to judge others.
            assert await used(running.database, "lin") == [(0, QUOTE)]
            await long_in_contact(running)

        row = await only_row(running.database)
        assert (row["id"], row["state"], row["http_status"]) == (order.request_id, "released", None)
        assert await used(running.database, "lin") == [(0, 0)]
        assert await used(running.database, "lin", "in_flight") == [(0, 0)]
        assert not await running.gateway.ledger.dispatch(
            order.request_id, order.owner, order.reserved_at_ms, DEFAULT_RELAY
        )
        await assert_books_agree(running.database)
    assert relay.sandbox.seen == []


@pytest.mark.parametrize(("silent_s", "state"), [(25, "dispatched"), (31, "unknown")])
async def test_a_replica_takes_over_what_another_left_only_after_30_s_of_its_silence(
    postgres_url: str, gateways: StartGateway, silent_s: int, state: str
) -> None:
    running = await gateways(database_url=postgres_url)
    await limited_key(running.database)
    order = await reserve(running, "proc_other", "req_other")
    assert await running.gateway.ledger.dispatch(order.request_id, order.owner, order.reserved_at_ms, DEFAULT_RELAY)
    await mourn(running.database, "proc_other", silent_s)

    await long_in_contact(running)

    assert (await only_row(running.database))["state"] == state
    assert await used(running.database, "lin") == [(0, QUOTE)]
    assert await used(running.database, "lin", "in_flight") == [(0, int(state == "dispatched"))]


async def test_of_two_replicas_that_recover_at_once_one_books(postgres_url: str, gateways: StartGateway) -> None:
    first, second = await gateways("a", database_url=postgres_url), await gateways("b", database_url=postgres_url)
    await limited_key(first.database)
    await reserve(first, "proc_dead", "req_dead")
    await mourn(first.database, "proc_dead", silent_s=60)

    await asyncio.gather(long_in_contact(first), long_in_contact(second))

    assert (await only_row(first.database))["state"] == "released"
    assert await used(first.database, "lin") == [(0, 0)]


async def reserve(running: Running, owner: str, request_id: str) -> Reservation:
    """A reservation as a process that died would have left it."""
    user = await user_id(running.database, "lin")
    now_ms = await running.database.now_ms()
    async with running.database.read() as connection:
        limits = await stored_limits.limits_of_scopes(connection, [("user", user)])
        revision = (await connection.execute(sa.select(organization.c.revision))).scalar_one()
    order = Reservation(
        request_id=request_id,
        owner=owner,
        api_key_id="key_1",
        user_id=user,
        project_id="proj_default",
        operation="generation",
        model="gpt-image-1",
        n=1,
        size=None,
        quality=None,
        stream=False,
        prompt_chars=5,
        prompt_hmac=None,
        quote_micros=QUOTE,
        reserved_at_ms=now_ms,
        revision=revision,
        counter_keys=tuple(CounterKey(limit, bounds_ms(limit.interval, now_ms, ZONE)[0]) for limit in limits),
    )
    assert isinstance(await running.gateway.ledger.reserve(order), Reserved)
    return order


async def mourn(database: Database, owner: str, silent_s: int) -> None:
    """The last beat of a process was that long ago."""
    then_ms = await database.now_ms() - silent_s * 1000
    await insert(database, processes, {"id": owner, "started_at_ms": then_ms, "beat_at_ms": then_ms})


async def long_in_contact(running: Running) -> None:
    """What this gateway does once it has had 31 s of contact of its own."""
    running.gateway.heartbeat.connected_since_s = asyncio.get_running_loop().time() - 31
    await running.gateway.recovery.turn()


async def test_a_second_server_on_one_sqlite_directory_refuses(processes: StartProcess) -> None:
    first = await processes()

    with pytest.raises(AssertionError, match="Another imagegate"):
        await processes()

    async with opened(first.url) as client:
        assert (await client.get("/readyz")).status_code == 200
