"""Chores: repeated whatever happens to them, each by itself, and never silent."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from app.chores import BackgroundTasks, Chore, Chores
from app.errors import StoreUnavailable
from app.sandbox import RunningSandbox
from tests.gateways import Running, running_gateway


@pytest.fixture
async def running(tmp_path: Path, relay: RunningSandbox) -> AsyncIterator[Running]:
    async with running_gateway(tmp_path, relay.base_url) as gateway:
        yield gateway


class Failing:
    """Raises each of `errors`, then works."""

    def __init__(self, *errors: BaseException):
        self._errors = list(errors)
        self.worked = asyncio.Event()

    async def turn(self) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.worked.set()


@pytest.mark.parametrize("error", [RuntimeError("a bug"), asyncio.CancelledError()], ids=["bug", "leaked cancellation"])
async def test_a_chore_goes_on_after_whatever_it_raises_and_says_so(error: BaseException) -> None:
    work = Failing(error, error)
    chores = Chores([Chore("work", work.turn, every_s=0, retry_s_max=0.01)])
    with capture_logs() as lines:
        assert not await chores.run_once("work")
        failed = chores.errors()
        chores.start()
        async with asyncio.timeout(30):
            await work.worked.wait()
        await chores.stop()

    assert failed == {"work": type(error).__name__}
    assert chores.errors() == {}
    assert chores.states["work"].succeeded_at_s is not None
    assert [line["event"] for line in lines] == ["a chore failed", "a chore failed", "a chore works again"]


async def test_an_expected_failure_is_told_once_until_it_changes() -> None:
    work = Failing(StoreUnavailable("away"), StoreUnavailable("away"), OSError())
    chores = Chores([Chore("work", work.turn, every_s=0)], expected=(StoreUnavailable, OSError))
    with capture_logs() as lines:
        for _ in range(4):
            await chores.run_once("work")

    assert [line["log_level"] for line in lines] == ["warning", "warning", "info"]


async def test_a_chore_that_hangs_keeps_no_other_from_its_work() -> None:
    never, work = asyncio.Event(), Failing()
    chores = Chores([Chore("hangs", never.wait, every_s=0), Chore("work", work.turn, every_s=0.01)])
    chores.start()
    async with asyncio.timeout(30):
        await work.worked.wait()
    await chores.stop()


async def test_the_last_turn_of_a_chore_runs_at_the_end() -> None:
    never, last = asyncio.Event(), Failing()
    chores = Chores([Chore("work", never.wait, every_s=0, last_turn=last.turn)])
    chores.start()

    await chores.stop()

    assert last.worked.is_set()


async def test_a_failing_chore_is_shown_and_only_degrades(running: Running) -> None:
    async with running.database.transaction() as connection:
        await connection.exec_driver_sql("DROP TABLE alerts")
    assert not await running.gateway.chores.run_once("alerts")

    async with httpx2.AsyncClient(base_url=running.url, timeout=60) as http:
        answer = await http.get("/readyz")

    shown = answer.json()
    assert (answer.status_code, shown["status"]) == (200, "degraded")
    assert f"alerts: {shown['chores']['alerts']['error']}" in shown["checks"]["chores"].split(", ")
    assert shown["chores"]["heartbeat"] == {
        "succeeded_s_ago": shown["chores"]["heartbeat"]["succeeded_s_ago"],
        "error": None,
    }


async def test_a_gateway_whose_beats_stopped_is_unready_and_says_so_once(running: Running) -> None:
    await running.gateway.chores.stop()
    heartbeat = running.gateway.heartbeat
    heartbeat.monotonic_s = lambda: heartbeat.beat_at_s + 31

    with capture_logs() as lines:
        async with httpx2.AsyncClient(base_url=running.url, timeout=60) as http:
            answer, again = await http.get("/readyz"), await http.get("/readyz")

    assert (answer.status_code, answer.json()["checks"]["heartbeat"]) == (503, "silent for 31 s")
    assert again.status_code == 503
    [changed] = [line for line in lines if line["event"] == "readiness changed"]
    assert (changed["was"], changed["status"], changed["failing"]) == (
        "ready",
        "unready",
        {"heartbeat": "silent for 31 s"},
    )
    assert [line["client"] for line in lines if line["event"] == "request"] == ["127.0.0.1", "127.0.0.1"]


async def test_a_cancelled_turn_ends() -> None:
    """Ctrl-C while a gateway starts; at the end asyncio.run waits for all that it cancels."""
    begun, never = asyncio.Event(), asyncio.Event()

    async def turn() -> None:
        begun.set()
        await never.wait()

    turning = asyncio.create_task(Chores([Chore("work", turn, every_s=0)]).run_once("work"))
    await begun.wait()
    turning.cancel()

    with pytest.raises(asyncio.CancelledError):
        await turning


async def test_tasks_that_are_started_while_others_finish_are_waited_for() -> None:
    """An exchange whose booking fails leaves it to another task."""
    background, booked = BackgroundTasks(), asyncio.Event()

    async def book() -> None:
        await asyncio.sleep(0.01)
        booked.set()

    async def exchange() -> None:
        background.start(book())

    background.start(exchange())

    assert await background.finish(10) == 0
    assert booked.is_set()
