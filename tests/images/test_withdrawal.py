"""A client that hung up before its request was sent, and has perhaps asked again by then: one of the two is bought, never both."""

import asyncio

import pytest

from app.core.fingerprint import fingerprint
from app.core.grants import Grant
from app.core.request import ImageRequest
from app.core.retry import RepeatHeaders
from app.images.service import ClientGone
from app.sandbox import RunningSandbox
from app.store.ledger.columns import Reservation
from app.store.ledger.types import ReserveOutcome
from tests.gateways import Running


@pytest.fixture
async def grant(running: Running) -> Grant:
    key = await running.key("lin")
    await running.limit("user", "lin", "micros", "month", 10_000_000)
    found = await running.gateway.grant(key.id)
    assert found is not None
    return found


def wanted() -> ImageRequest:
    fields = {"model": "seedream-3.0", "prompt": "a lighthouse"}
    return ImageRequest("generation", "seedream-3.0", 1, None, None, False, 0, 12, fields)


async def gone() -> bool:
    return True


@pytest.mark.both
async def test_nothing_is_sent_for_a_client_that_left_while_it_was_admitted(
    running: Running, relay: RunningSandbox, grant: Grant
) -> None:
    with pytest.raises(ClientGone):
        await running.gateway.image_service.submit("req_1", grant, wanted(), RepeatHeaders(), gone)
    await running.gateway.background.finish(5)

    [row], [counter] = await running.rows(), await running.counters()
    assert (row["state"], counter["held"], len(relay.sandbox.bill)) == ("released", 0, 0)


async def test_it_is_sent_for_the_retry_that_has_joined_it_meanwhile(
    running: Running, relay: RunningSandbox, grant: Grant
) -> None:
    retries, now_ms = running.gateway.image_service.replay.retries, running.gateway.clock.now_ms()

    async def gone_and_back() -> bool:
        assert await retries.adopt(grant.key_id, fingerprint(wanted()), 1, now_ms) == "req_1"
        return True

    pending = await running.gateway.image_service.submit("req_1", grant, wanted(), RepeatHeaders(), gone_and_back)
    (await pending.result()).spool.close()

    assert len(relay.sandbox.bill) == 1


async def test_a_retry_that_comes_too_late_to_join_it_buys(
    running: Running, relay: RunningSandbox, grant: Grant
) -> None:
    with pytest.raises(ClientGone):
        await running.gateway.image_service.submit("req_1", grant, wanted(), RepeatHeaders(), gone)

    pending = await running.gateway.image_service.submit("req_2", grant, wanted(), RepeatHeaders(count=1))
    (await pending.result()).spool.close()
    await running.gateway.background.finish(5)

    assert len(relay.sandbox.bill) == 1
    assert sorted(row["state"] for row in await running.rows()) == ["released", "settled"]


async def test_a_reservation_is_given_back_when_its_caller_is_cancelled(running: Running, grant: Grant) -> None:
    """Some servers cancel the handler of a client that has left."""
    reserved, never = asyncio.Event(), asyncio.Event()

    async def asked() -> bool:
        reserved.set()
        return await never.wait()

    submitting = asyncio.create_task(
        running.gateway.image_service.submit("req_1", grant, wanted(), RepeatHeaders(), asked)
    )
    await reserved.wait()
    submitting.cancel()
    await asyncio.wait({submitting})
    await running.gateway.background.finish(5)

    [row], [counter] = await running.rows(), await running.counters()
    assert (row["state"], counter["held"], running.gateway.image_service.in_flight) == ("released", 0, 0)


async def test_a_reservation_whose_caller_is_cancelled_while_it_is_written_is_given_back(
    running: Running, grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it was written is unknown to the caller; here it was."""
    ledger, written, never = running.gateway.ledger, asyncio.Event(), asyncio.Event()
    reserve = ledger.reserve

    async def slow(reservation: Reservation) -> ReserveOutcome:
        await reserve(reservation)
        written.set()
        await never.wait()
        raise AssertionError("it is cancelled")

    monkeypatch.setattr(type(ledger), "reserve", staticmethod(slow))
    submitting = asyncio.create_task(running.gateway.image_service.submit("req_1", grant, wanted(), RepeatHeaders()))
    await written.wait()
    submitting.cancel()
    await asyncio.wait({submitting})
    await running.gateway.background.finish(5)

    [row], [counter] = await running.rows(), await running.counters()
    assert (row["state"], counter["held"]) == ("released", 0)
