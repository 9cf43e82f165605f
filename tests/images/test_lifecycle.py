"""The life of an admitted request: whatever goes wrong, its row ends while the process runs, with one event."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from app.core.endings import RequestEnded, RequestRefused
from app.core.retry import RepeatHeaders
from app.errors import StoreUnavailable, UpstreamOutcomeUnknown
from app.images import booking
from app.images.booking import retry_until_booked
from app.sandbox import RunningSandbox
from app.store.engine import DatabaseUrl, open_database
from tests.gateways import Running, book, running_gateway
from tests.held import HELD, answering
from tests.images.client import SMALL, Client, until
from tests.images.test_endings import run_sql
from tests.images.test_withdrawal import wanted
from tests.money import books
from tests.money.books import assert_books_agree, assert_nothing_held

ABORT = (
    "CREATE TRIGGER no BEFORE UPDATE OF state ON requests WHEN new.state = '{}' BEGIN SELECT raise(ABORT, 'no'); END"
)


@pytest.fixture
async def running(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, relay.base_url) as gateway:
        yield gateway


@pytest.fixture
async def client(running: Running, relay: RunningSandbox) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(base_url=running.url, timeout=60, verify=False) as http:
        key = await running.key("lin")
        await running.limit("user", "lin", "micros", "month", 5_000_000)
        yield Client(http, key, relay, running)


@pytest.fixture
def events(running: Running) -> list[RequestEnded | RequestRefused]:
    """What a listener hears."""
    heard: list[RequestEnded | RequestRefused] = []
    listeners = running.gateway.recovery.listeners
    object.__setattr__(listeners, "listeners", (*listeners.listeners, heard.append))
    return heard


async def test_a_bug_before_the_dispatched_mark_gives_the_reservation_back(
    client: Client, events: list[RequestEnded | RequestRefused]
) -> None:
    await run_sql(client.gateway, ABORT.format("dispatched"))

    answer = await client.ask(SMALL)
    await books.until(lambda: is_in(client, "released"))

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert client.relay.sandbox.seen == []
    await assert_nothing_held(client.gateway.database)
    await until(lambda: len(events) == 1)
    assert isinstance(events[0], RequestEnded)
    assert (events[0].outcome, events[0].code) == ("released", "internal_error")


async def test_a_booking_that_fails_for_a_bug_ends_as_unknown_with_its_answer_kept(
    client: Client, events: list[RequestEnded | RequestRefused], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booking, "FIRST_PAUSE_S", 0.01)
    await run_sql(client.gateway, ABORT.format("settled"))

    answer = await client.ask(SMALL)
    await books.until(lambda: is_in(client, "unknown"))

    assert answer.status_code == 200
    [row] = await client.gateway.rows()
    assert (client.gateway.gateway.kept_answers.directory / row["id"]).read_bytes().startswith(b"{")
    await until(lambda: len(events) == 1)
    assert isinstance(events[0], RequestEnded)
    assert (events[0].outcome, events[0].cost_micros) == ("unknown", 0)
    await assert_books_agree(client.gateway.database)


async def test_an_answer_whose_price_cannot_be_computed_ends_as_unknown_with_its_answer_kept(
    client: Client, events: list[RequestEnded | RequestRefused], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booking, "local_day", None)  # A bug that no input is known to reach.

    answer = await client.ask(SMALL)

    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert await client.states() == ["unknown"]
    [row] = await client.gateway.rows()
    assert (client.gateway.gateway.kept_answers.directory / row["id"]).read_bytes().startswith(b"{")
    assert [event.code for event in events] == ["internal_error"]


async def test_an_answer_whose_booking_hangs_when_the_process_ends_is_settled_by_the_next_one(
    tmp_path: Path, relay: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    booking_began, never = asyncio.Event(), asyncio.Event()

    async def settle(*_: object) -> None:
        booking_began.set()
        await never.wait()

    async with running_gateway(tmp_path, relay.base_url) as first:
        monkeypatch.setattr(type(first.gateway.ledger), "settle", settle)
        async with httpx2.AsyncClient(base_url=first.url, timeout=60) as http:
            asking = asyncio.create_task(Client(http, await first.key("lin"), relay, first).ask(SMALL))
            async with asyncio.timeout(30):
                await booking_began.wait()
            first.gateway.image_service.close()
            await asking
        monkeypatch.undo()

    async with running_gateway(tmp_path, relay.base_url) as second:
        [row] = await second.rows()

    assert (row["state"], row["images"]) == ("settled", 1)


async def test_a_database_that_is_away_is_no_bug_and_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booking, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(booking, "PAUSE_S_MAX", 0.001)
    left = [StoreUnavailable("away")] * (3 * booking.FAILURES_MAX)

    async def settle() -> None:
        if left:
            raise left.pop()

    async def give_up() -> None:
        raise AssertionError("nobody gives up")

    with capture_logs():
        assert await retry_until_booked(settle, give_up)


async def test_each_end_and_each_refusal_is_told_once(
    client: Client, events: list[RequestEnded | RequestRefused]
) -> None:
    await client.ask(SMALL)
    await client.ask(SMALL | {"prompt": "[[sandbox error=moderation]]"})
    await client.ask(SMALL | {"prompt": "[[sandbox body=truncated]]"})
    await client.gateway.limit("user", "lin", "requests", "day", 0)
    with capture_logs() as lines:
        await client.ask(SMALL)
        await client.ask({"model": SMALL["model"], "n": "many"})

    ends = [event for event in events if isinstance(event, RequestEnded)]
    refusals = [event for event in events if isinstance(event, RequestRefused)]
    assert [(end.outcome, end.cost_micros > 0, end.images) for end in ends] == [
        ("settled", True, 1), ("released", False, 0), ("unknown", False, 0),
    ]  # fmt: skip
    assert ends[0].relay_ms <= ends[0].total_ms
    assert [(told.code, told.model) for told in refusals] == [
        ("insufficient_quota", SMALL["model"]), ("missing_required_parameter", None),
    ]  # fmt: skip
    [line, _] = [line for line in lines if line["event"] == "image request refused"]
    assert (line["code"], line["model"]) == ("insufficient_quota", SMALL["model"])
    assert "lin" in line["limit"]


async def test_an_attached_retry_takes_no_place_and_one_owner_has_a_bound_of_them(client: Client) -> None:
    service = client.gateway.gateway.image_service
    body = SMALL | {"prompt": HELD}
    service.places._max, service.places._attached_max = 1, 5

    asking = [asyncio.create_task(client.ask(body, key="order-1"))]
    await until(lambda: len(client.relay.sandbox.seen) == 1)
    asking += [asyncio.create_task(client.ask(body, key="order-1")) for _ in range(5)]
    await until(lambda: service.places.attached == 5)
    places, refused, one_more = service.in_flight, await client.ask(SMALL), await client.ask(body, key="order-1")
    with answering(client.relay):
        answers = await asyncio.gather(*asking)

    assert places == 1
    assert refused.json()["error"]["code"] == "overloaded"
    assert one_more.status_code == 429
    assert one_more.json()["error"]["message"].startswith(
        "5 requests of yours wait for answers that were bought before"
    )
    assert {answer.status_code for answer in answers} == {200}
    assert client.charges == 1


async def test_an_attached_retry_does_not_hold_up_the_end_of_a_drained_gateway(
    tmp_path: Path, relay: RunningSandbox
) -> None:
    """It waits for a request of another replica; its client has been let go."""
    async with asyncio.timeout(30):
        async with running_gateway(tmp_path, relay.base_url, drain_s=600) as gateway:
            service = gateway.gateway.image_service
            service.places.attach("lin")
            pending = service._attach_task(
                "req_of_another", None, (), False, service.replay.answer("req_of_another"), "lin"
            )
            service.close()
            with pytest.raises(UpstreamOutcomeUnknown):
                await pending.result()


async def is_in(client: Client, state: str) -> bool:
    return await client.states() == [state]


async def test_the_chores_run_until_the_last_background_task_has_ended(
    tmp_path: Path, relay: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heartbeats must go on while a gateway drains, and deliveries that are noted meanwhile must be written."""
    closing = asyncio.Event()
    async with running_gateway(tmp_path, relay.base_url) as running:
        gateway, key = running.gateway, await running.key("lin")
        grant = await gateway.grant(key.id)
        assert grant is not None
        pending = await gateway.image_service.submit("req_1", grant, wanted(), RepeatHeaders())
        (await pending.result()).spool.close()
        finish = gateway.background.finish

        async def finish_at_the_end(timeout_s: float) -> int:
            closing.set()
            return await finish(timeout_s)

        async def deliver() -> None:
            await closing.wait()
            pending.note_delivery()

        monkeypatch.setattr(gateway.background, "finish", finish_at_the_end)
        gateway.background.start(deliver())

    database = open_database(DatabaseUrl.of(None, tmp_path))
    [row] = await book(database)
    await database.close()
    assert row["delivered_at_ms"] is not None
